"""Tasks: which event asks for which, how long they take, and how they are kept in Redis."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


@dataclass(frozen=True)
class TaskType:
    """A kind of task; its duration is waiting for the system downstream, not computing."""

    name: str
    mean_seconds: float
    failure_share: float

    def draw_seconds(self) -> float:
        """A duration around the mean."""
        return random.uniform(0.8, 1.2) * self.mean_seconds  # noqa: S311 - no secret


# With the usual mix of events a task takes 0.30 s on average: a pod with 10 workers does about 33 tasks a second.
TASK_TYPES: Mapping[str, TaskType] = {
    "user.created": TaskType("email_sender", 0.24, 0.01),
    "order.placed": TaskType("webhook_notifier", 0.30, 0.01),
    "record.changed": TaskType("data_transformer", 0.36, 0.005),
    "report.requested": TaskType("report_builder", 0.42, 0.005),
}
BY_NAME: Mapping[str, TaskType] = {kind.name: kind for kind in TASK_TYPES.values()}


class Status(StrEnum):
    """Where a task is. Finished tasks are forgotten, only counted."""

    PENDING = "pending"
    RUNNING = "running"


@dataclass(frozen=True)
class Task:
    """A task as it lies in the hash `orchestration:tasks`; times are Unix seconds. Its id is that of its event."""

    id: str
    task_name: str
    queued_at: float
    status: Status = Status.PENDING
    attempts: int = 0
    started_at: float | None = None
    pod: str | None = None
    hangs: bool = False
    """Whether it never ends, because of what its event carries."""

    def encode(self) -> str:
        """The task as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Task:
        """Read a task back; JSON null and a missing field are the same (the scripts in Redis drop nulls)."""
        fields = json.loads(text)
        return cls(**fields | {"status": Status(fields["status"])})
