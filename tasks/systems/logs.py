"""Structured lines out of logs that mix JSON, logfmt and plain text.

A line that is none of them is counted, never dropped in silence: a pipeline that stops at the first stack trace
reports a wrong answer with a good conscience.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LOGFMT = re.compile(r"([A-Za-z_][\w.]*)=(\"[^\"]*\"|\S*)")


@dataclass(frozen=True, slots=True)
class LogLines:
    """What could be read, and how many lines could not."""

    records: tuple[Mapping[str, object], ...]
    unreadable: int


def read_lines(lines: Iterable[str]) -> LogLines:
    """The lines as records; a plain line counts as unreadable."""
    records: list[Mapping[str, object]] = []
    unreadable = 0
    for line in lines:
        record = _record(line.strip())
        if record is None:
            unreadable += bool(line.strip())
        else:
            records.append(record)
    return LogLines(tuple(records), unreadable)


def _record(line: str) -> Mapping[str, object] | None:
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):  # the latter for thousands of open brackets
            return None
        return found if isinstance(found, dict) else None
    pairs = {key: value.strip('"') for key, value in _LOGFMT.findall(line)}
    return pairs or None


@dataclass(frozen=True, slots=True)
class SlowTask:
    """One type of task and how long it took."""

    name: str
    count: int
    mean_ms: float
    longest_ms: float


def slowest(lines: LogLines, event: str, top: int = 10) -> tuple[SlowTask, ...]:
    """The task types of the completed tasks, the slowest on average first."""
    durations: dict[str, list[float]] = {}
    for record in lines.records:
        if record.get("event") != event:
            continue
        try:
            name, duration = str(record["task_name"]), float(str(record["duration_ms"]))
        except (KeyError, ValueError):
            continue  # a completed task without a duration says nothing about slowness
        if math.isfinite(duration):
            durations.setdefault(name, []).append(duration)
    ranked = (SlowTask(name, len(d), sum(d) / len(d), max(d)) for name, d in durations.items())
    return tuple(sorted(ranked, key=lambda task: -task.mean_ms)[:top])
