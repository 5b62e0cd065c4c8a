"""A pod's log: JSON lines, plain text and logfmt mixed, as grown services write them, and not too much of it."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

# Lines a second of each kind; together about 20. What is not listed here is always written.
LINES_PER_SECOND: Mapping[str, float] = {
    "task_completed": 6,
    "task_failed": 3,
    "task_retry": 2,
    "task_rejected": 1,
    "task_running": 2,
    "task_duration": 1,
    "event_received": 1,
    "enqueue_duration": 1,
    "mapper": 1,
    "waiting": 1,
    "waiting_for_dependency": 1,
    "reconnect": 0.5,
}


class Journal:
    """Writes the log, sampling the kinds of lines that come with every task."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        """`write` takes one line without its end; by default it goes to the standard output."""
        self._write = write or _write_line
        self._budgets: dict[str, _Budget] = defaultdict(_Budget)

    def event(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Write a JSON line, if its kind has not had its share."""
        if self._budgets[event].spend(LINES_PER_SECOND.get(event)):
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._write(json.dumps({"ts": now, "level": level, "event": event, **fields}))

    def text(self, level: str, message: str, *, kind: str = "text") -> None:
        """Write a line of plain text."""
        if self._budgets[kind].spend(LINES_PER_SECOND.get(kind)):
            self._write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {level:<5} {message}")

    def logfmt(self, kind: str, **fields: object) -> None:
        """Write a line of `key=value` pairs."""
        if self._budgets[kind].spend(LINES_PER_SECOND.get(kind)):
            self._write(" ".join(f"{name}={value}" for name, value in fields.items()))


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class _Budget:
    def __init__(self) -> None:
        self._left, self._at = 1.0, time.monotonic()

    def spend(self, per_second: float | None) -> bool:
        if per_second is None:
            return True
        now = time.monotonic()
        self._left, self._at = min(per_second, self._left + per_second * (now - self._at)), now
        if self._left < 1:
            return False
        self._left -= 1
        return True
