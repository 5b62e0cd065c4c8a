"""Looks: taken side by side, each with a deadline of its own. One that cannot be made is a finding."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from deployments.doctor.finding import Finding, Health, Kind
from tasks.model.evidence import Unknown
from tasks.systems.errors import explain

AT_ONCE = 16
DEADLINE = timedelta(seconds=20)

NOT_MADE = Kind(
    "look-not-made",
    Health.BROKEN,
    "it is not known whether this works; what is not known counts as broken",
    "mend what it says, then run `runbooks doctor` again",
)
KINDS = (NOT_MADE,)


class ToldElsewhere(Exception):
    """Why a look cannot be made is a finding of another look."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: `take` reads and judges. `deadline` counts from its own beginning."""

    at: str
    take: Callable[[], Iterable[Finding]]
    site: str = ""
    deadline: timedelta = DEADLINE


def take(looks: Sequence[Look], at_once: int = AT_ONCE) -> list[Finding]:
    """What all looks find, in their order; at most `at_once` are under way at one time.

    Whoever gives no answer in time is left behind: its thread does not keep the program from ending.
    """
    answers: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    found: dict[int, list[Finding]] = {}
    waiting = list(enumerate(looks))[::-1]
    deadlines: dict[int, float] = {}
    while waiting or deadlines:
        while waiting and len(deadlines) < at_once:
            number, look = waiting.pop()
            deadlines[number] = time.monotonic() + look.deadline.total_seconds()
            # In a copy of our context: Prefect keeps its settings there.
            begin = partial(contextvars.copy_context().run, lambda n, one: answers.put((n, _made(one))), number, look)
            threading.Thread(target=begin, daemon=True).start()
        try:
            number, answer = answers.get(timeout=max(0.0, min(deadlines.values()) - time.monotonic()))
        except queue.Empty:
            for number in [number for number, deadline in deadlines.items() if deadline <= time.monotonic()]:
                del deadlines[number]
                seconds = looks[number].deadline.total_seconds()
                found[number] = [_not_made(looks[number], f"no answer within {seconds:g} s")]
            continue
        if deadlines.pop(number, None) is not None:  # else it is too late: that was told already
            found[number] = answer
    return [finding for number in range(len(looks)) for finding in found[number]]


def _made(look: Look) -> list[Finding]:
    try:
        return list(look.take())
    except ToldElsewhere:
        return []
    except Exception as error:  # whatever went wrong, that it could not be looked at is what was found
        return [_not_made(look, Unknown.because(explain(error)).reason)]


def _not_made(look: Look, why: str) -> Finding:
    return NOT_MADE.found(look.at, why, look.site)
