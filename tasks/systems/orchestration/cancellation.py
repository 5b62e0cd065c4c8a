"""Cancelling one task that is stuck."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.model.change import Diff, Effect, Happened, NotInEffect, PreconditionFailed, Surroundings
from tasks.model.target import Target
from tasks.systems.errors import explain
from tasks.systems.orchestration.admin import Admin, Task

GROUP = "running tasks"
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class CancelTask:
    """One attempt at one task is ended, the one that was looked at and no later one.

    It is made at most once: who cannot tell whether it arrived has a person look. What it takes to submit the task
    again is in what the ledger writes down before the act (D043).
    """

    admin: Admin
    scope: str
    task: Task
    older_than: timedelta
    why: str
    asks: str = "side effects of a cancelled task may be half done"
    effect: Effect = Effect.DESTRUCTIVE
    restore: str = "nothing to give back; submit the task again if it is still wanted"

    @property
    def target(self) -> Target:
        return Target("task", self.scope, self.task.id)

    @property
    def field(self) -> str:
        return "execution"

    @property
    def wanted(self) -> str:
        return "cancelled"

    def diff(self) -> Diff:
        """The task as it is now.

        Raises:
            PreconditionFailed: it is not what was found to be stuck: it waits again, or it was started anew.
        """
        tasks = self.admin.tasks()
        now = next((task for task in tasks if task.id == self.task.id), None)
        if now is None:
            return Diff("gone", "gone")
        if not now.running:
            raise PreconditionFailed(f"the task is {now.status} again, no worker has it")
        if not now.same_run(self.task):
            raise PreconditionFailed(f"the task was started anew since it was found to be stuck: {now}")
        if not now.older_than(self.older_than):
            raise PreconditionFailed(f"{now}, which is not longer than {self.older_than.total_seconds():g} s")
        around = Surroundings(group=GROUP, group_size=sum(task.running for task in tasks))
        # An approval is for this execution, and not for a later one of the same task.
        attempt = f" (attempt {now.attempts})" if now.attempts is not None else f" (started at {now.started_at})"
        return Diff(str(now), f"{self.wanted}{attempt}", note=self.why, around=around)

    def happened(self, since: datetime) -> Happened:
        """Gone tells that it arrived. A task that is still there tells nothing: the pod that has it may be about to
        hear of it."""
        return Happened.YES if self._gone() else Happened.UNKNOWN

    def apply(self, diff: Diff) -> None:
        """Asks the service to cancel the task."""
        self.admin.cancel(self.task.id)

    def verify(self, within: timedelta) -> str:
        """Waits until the task is gone; a look that fails is taken again."""
        deadline = time.monotonic() + within.total_seconds()
        while True:
            try:
                if self._gone():
                    return "the task is gone, its worker is free"
                why = "the task is still there"
            except Exception as error:  # it only looks: whatever went wrong, the next look may tell
                why = explain(error)
            if time.monotonic() > deadline:
                raise NotInEffect(f"{why}, {within} after it was cancelled")
            time.sleep(_POLL)

    def _gone(self) -> bool:
        return all(task.id != self.task.id for task in self.admin.tasks())
