"""What the orchestration pods write to their logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Probe, Reading
from tasks.systems.kubernetes.pods import pod_logs
from tasks.systems.logs import SlowTask, read_lines, slowest


@dataclass(frozen=True, slots=True)
class SlowTasks:
    """The slowest task types of the log, and how many lines were not structured."""

    tasks: tuple[SlowTask, ...]
    lines: int
    unreadable: int

    def __str__(self) -> str:
        slow = ", ".join(f"{t.name} {t.mean_ms:.0f} ms" for t in self.tasks[:3]) or "no completed task"
        return f"{slow} (from {self.lines} log lines, {self.unreadable} of them plain text)"


def slow_tasks(bus: MessageBus) -> Probe[SlowTasks]:
    """Source: "High Task Queue Depth", diagnosis 3, from the logs of all pods."""

    def read() -> Reading[SlowTasks]:
        lines = pod_logs(bus.cluster(), bus.orchestration_labels, bus.pace.window)
        found = read_lines(lines)
        tasks = slowest(found, "task_completed")
        return Reading(SlowTasks(tasks, len(lines), found.unreadable), "pod logs", reach=bus.pace.window)

    return Probe("slow tasks", read, timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class LongTask:
    """A task that the log says is running, and for how long it had been when it was last mentioned."""

    task: str
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LongTasks:
    """The ten tasks of the log that ran longest, how many are past the document's mark, how many lines were plain."""

    tasks: tuple[LongTask, ...]
    long: int
    mark: timedelta
    lines: int
    unreadable: int

    def __str__(self) -> str:
        shown = ", ".join(f"{task.name} {task.seconds:.0f} s" for task in self.tasks) or "no running task mentioned"
        return (
            f"{shown}; {self.long} longer than {self.mark.total_seconds():g} s "
            f"(from {self.lines} log lines, {self.unreadable} of them plain text)"
        )


def long_tasks(bus: MessageBus) -> Probe[LongTasks]:
    """Source: "Worker Pool Exhaustion", diagnosis 2: "task_running", the ten longest, "look for tasks running >60
    seconds". `awk {print $NF}` gives no number on JSON lines, and both formats are written (D038)."""

    def read() -> Reading[LongTasks]:
        lines = pod_logs(bus.cluster(), bus.orchestration_labels, bus.pace.window)
        return Reading(read_long_tasks(lines, bus.worker_pool_exhaustion.long), "pod logs", reach=bus.pace.window)

    return Probe("long tasks", read, timedelta(seconds=30))


def read_long_tasks(lines: Sequence[str], mark: timedelta, top: int = 10) -> LongTasks:
    """The tasks that these lines say are running, each with the longest time that is told of it."""
    found = read_lines(lines)
    longest: dict[str, LongTask] = {}
    for record in found.records:
        if not _marked(record, "task_running"):
            continue
        try:
            seconds = float(str(record["duration_ms"])) / 1000
        except (KeyError, ValueError):
            continue  # a line without a duration says nothing about how long
        name = str(record.get("task_name", "task"))
        task = str(record.get("task_id", name))
        if math.isfinite(seconds) and (task not in longest or seconds > longest[task].seconds):
            longest[task] = LongTask(task, name, seconds)
    ranked = sorted(longest.values(), key=lambda task: (-task.seconds, task.task))
    long = sum(task.seconds > mark.total_seconds() for task in ranked)
    return LongTasks(tuple(ranked[:top]), long, mark, len(lines), found.unreadable)


@dataclass(frozen=True, slots=True)
class DependencyWaits:
    """Who waited for whom by the log: task and what it waited for, each once, the latest last."""

    waits: tuple[tuple[str, str], ...]
    lines: int
    unreadable: int

    def __str__(self) -> str:
        shown = ", ".join(f"{task} for {other}" for task, other in self.waits[-3:])
        return (
            f"{len(self.waits)} waits for another task" + (f", the latest: {shown}" if shown else "")
        ) + f" (from {self.lines} log lines, {self.unreadable} of them plain text)"


def dependency_waits(bus: MessageBus) -> Probe[DependencyWaits]:
    """Source: "Worker Pool Exhaustion", diagnosis 3. The document spells the marker in two ways (D038)."""

    def read() -> Reading[DependencyWaits]:
        lines = pod_logs(bus.cluster(), bus.orchestration_labels, bus.pace.window)
        return Reading(read_dependency_waits(lines), "pod logs", reach=bus.pace.window)

    return Probe("dependency waits", read, timedelta(seconds=30))


_WAITING = ("waiting_for_dependency", "waiting_on_dependency")


def read_dependency_waits(lines: Sequence[str]) -> DependencyWaits:
    """The waits that these lines tell of."""
    found = read_lines(lines)
    waits: dict[tuple[str, str], None] = {}
    for record in found.records:
        if not _marked(record, *_WAITING):
            continue
        other = next((record[key] for key in (*_WAITING, "dependency") if key in record), "?")
        wait = str(record.get("task_id", "?")), str(other)
        waits.pop(wait, None)
        waits[wait] = None
    return DependencyWaits(tuple(waits), len(lines), found.unreadable)


def _marked(record: Mapping[str, object], *markers: str) -> bool:
    """Whether a line is about that: the marker is its event, its message, or one of its fields."""
    return any(record.get(key) in markers for key in ("event", "msg", "message")) or any(m in record for m in markers)
