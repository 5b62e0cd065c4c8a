"""Time that tests turn. Nothing here waits: who sleeps is woken when the test lets time pass.

There are two clocks, as on a real host: the steady one (`time.monotonic`), which nobody can set, and the wall clock,
which may jump. The ledger's SQLite file goes by the wall clock, as in production.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace

import pytest

BEGINNING = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_PACKAGES = ("tasks.", "flows.incidents.", "deployments.intake.")


class Clock:
    """The time of one small world."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self._skew = timedelta(0)
        self._latest = BEGINNING

    def now(self) -> datetime:
        """The wall clock."""
        now = BEGINNING + timedelta(seconds=self.steady) + self._skew
        self._latest = max(self._latest, now)
        return now

    def jump(self, by: timedelta) -> None:
        """Somebody sets the wall clock."""
        self._skew += by

    def catch_up(self) -> None:
        """Lets a wall clock that was set back reach the latest time that it ever showed."""
        self.jump(max(timedelta(0), self._latest - self.now()))


def turn(patch: pytest.MonkeyPatch, clock: Clock, sleep: Callable[[float], None]) -> None:
    """Puts the clock where production code looks for the time: the names `time` and `datetime` of its modules."""

    class Turned(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.now().astimezone(tz)

    turned = SimpleNamespace(monotonic=lambda: clock.steady, sleep=sleep)
    for name, module in list(sys.modules.items()):
        if not name.startswith(_PACKAGES):
            continue
        if getattr(module, "time", None) is time:
            patch.setattr(module, "time", turned)
        if getattr(module, "datetime", None) is datetime:
            patch.setattr(module, "datetime", Turned)
