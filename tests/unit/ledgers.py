"""Ledgers that are there already: to make one anew takes longer than most tests. Those in memory are emptied and used
again, those in files are copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.ledger import Ledger
from tasks.ledger.tables import metadata

_SPARE: list[SpareLedger] = []
_LENT: list[SpareLedger] = []


@dataclass
class Clock:
    """A clock that stands still until it is turned."""

    now: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, by: timedelta) -> None:
        """Turns it."""
        self.now += by


def _right() -> datetime:
    return datetime.now(UTC)


class SpareLedger(Ledger):
    """A ledger that is not closed but emptied."""

    def __init__(self) -> None:
        self.clock: Callable[[], datetime] = _right
        super().__init__("sqlite://", lambda: self.clock())

    def close(self) -> None:
        """Empties it for the next test."""
        if self not in _LENT:
            return
        _LENT.remove(self)
        with self.database.writing() as tx:
            for table in reversed(metadata.sorted_tables):
                if table.name != "meta":
                    tx.execute(table.delete())
        _SPARE.append(self)


def fresh_ledger(clock: Callable[[], datetime] = _right) -> Ledger:
    """An empty ledger, by default with a clock that is right, for the time of one test."""
    found = _SPARE.pop() if _SPARE else SpareLedger()
    _LENT.append(found)
    found.clock = clock
    return found


@cache
def _made() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger(f"sqlite:///{path}").close()
        return path.read_bytes()


def ledger_file(path: Path) -> str:
    """The URL of an empty ledger in a file: a copy, which is made quicker than a new one. All have one identity."""
    path.write_bytes(_made())
    return f"sqlite:///{path}"


def take_back() -> None:
    """Empties what a test has not closed itself."""
    for ledger in tuple(_LENT):
        ledger.close()
