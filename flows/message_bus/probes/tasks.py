"""What the orchestration service itself says about its tasks: which run, who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Probe, Reading
from tasks.systems.orchestration.admin import RUNNING, Dependencies, Task


@dataclass(frozen=True, slots=True)
class RunningTasks:
    """The tasks that workers have now. `read_at` is our clock."""

    tasks: tuple[Task, ...]
    read_at: datetime

    def older_than(self, limit: timedelta) -> tuple[Task, ...]:
        """The tasks that have been running for longer, the longest first."""
        old = (task for task in self.tasks if task.older_than(limit))
        return tuple(sorted(old, key=lambda task: (-(task.duration_seconds or 0), task.id)))

    def __str__(self) -> str:
        longest = ", ".join(f"{task.id} ({task})" for task in self.older_than(timedelta(0))[:3])
        return f"{len(self.tasks)} running" + (f", the longest: {longest}" if longest else "")


def running_tasks(bus: MessageBus) -> Probe[RunningTasks]:
    """Source: "Worker Pool Exhaustion", option 2: the tasks are asked for by status and held against the age here, so
    that a filter that gets lost on the way cannot make young tasks look stuck (D041)."""

    def read() -> Reading[RunningTasks]:
        return Reading(RunningTasks(bus.admin().tasks(RUNNING), datetime.now(UTC)), "GET /admin/tasks")

    return Probe("running tasks", read, timedelta(seconds=30))


def dependencies(bus: MessageBus) -> Probe[Dependencies]:
    """Source: "Worker Pool Exhaustion", diagnosis 3."""

    def read() -> Reading[Dependencies]:
        return Reading(bus.admin().dependencies(), "GET /admin/dependencies")

    return Probe("dependencies", read, timedelta(seconds=30))
