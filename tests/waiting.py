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
