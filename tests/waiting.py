"""Waiting for what has to come: tests look again and again until a deadline, they never sleep and hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 30, *, every: float = 0.1) -> T:
    """The first true answer; there are at most `every` seconds between two looks, and fewer at first.

    Raises:
        AssertionError: there is none within the time.
    """
    deadline, pause = time.monotonic() + seconds, 0.03
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; last seen: {found!r}"
        time.sleep(pause)  # between two looks, not instead of one
        pause = min(1.2 * pause, every)
    return found


def wait_until(look: Callable[[], T], expected: object, what: str = "the answer", seconds: float = 30) -> None:
    """Until a look gives exactly this. For what is seen through scrapes: a busy machine misses one now and then.

    Raises:
        AssertionError: it never does within the time.
    """
    last: list[T] = []

    def right() -> bool:
        last[:] = [look()]
        return last[0] == expected

    try:
        wait_for(f"{what} to be {expected!r}", right, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {last[0]!r}") from None
