"""What was seen: readings, and the readings that could not be had."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from tasks.redact import redact

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class UnknownReading(Exception):
    """A decision asked something of a reading that could not be had."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that could not be had, and why.

    Asking it for anything raises `UnknownReading`, so no decision can rest on it by accident.
    """

    reason: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnknownReading(self.reason)

    def __str__(self) -> str:
        return f"unknown: {self.reason}"

    @classmethod
    def because(cls, error: BaseException | str) -> Unknown:
        """An Unknown with the error's text, secrets removed, on one line."""
        text = redact(str(error)).strip() or type(error).__name__
        return cls(" ".join(text.split())[:300])


@dataclass(frozen=True, slots=True)
class Reading(Generic[T_co]):
    """A value that was read, where it came from, and which stretch of time it speaks of.

    `reach` and `lag` are durations by the clock of the source, so they hold whatever our own clock
    says: the value depends on nothing older than `reach`, and its newest sample is `lag` old. A gauge scraped a second
    ago has reach = lag = 1 s; `rate(x[5m])` over it a reach of 5 minutes and a lag of 1 s. `at` is when we read it.
    """

    value: T_co
    source: str
    reach: timedelta = timedelta(0)
    lag: timedelta = timedelta(0)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __str__(self) -> str:
        return str(self.value)


def not_stale(reading: Reading[T], stale_after: timedelta) -> Reading[T]:
    """The reading, if its newest sample is young enough to say how things are now.

    Raises:
        UnknownReading: it is older: where samples come another way than by scraping, the last one is answered for
            minutes after it has dried up.
    """
    if reading.lag > stale_after:
        lag, limit = reading.lag.total_seconds(), stale_after.total_seconds()
        raise UnknownReading(f"its newest sample is {lag:.0f} s old, more than {limit:g} s")
    return reading


@dataclass(frozen=True, slots=True)
class Probe(Generic[T_co]):
    """A reading described but not yet taken. `read` does the I/O; it raises when the reading cannot be had.

    `deadline` bounds all attempts together, retries included.
    """

    name: str
    read: Callable[[], Reading[T_co]]
    deadline: timedelta = timedelta(seconds=15)


def number(value: float) -> float:
    """The value, if it is a number that can be compared.

    Raises:
        UnknownReading: for NaN, which compares false with everything and would pass for 'not above the limit', and
            for infinity, which is what a division by zero leaves.
    """
    if not math.isfinite(value):
        raise UnknownReading(f"the value is {'NaN' if math.isnan(value) else 'infinite'}")
    return value
