"""Slots: how many runs may be at work at once, and which of those that are due come first.

A run waits more than it computes, so the limit is about memory. Some slots are kept free for what must never wait: the
runbooks of critical alerts, giving back, and calling people. Deployments say by their tags which those are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from prefect.client.schemas.objects import FlowRun

from deployments.manifest import LIFECYCLE_TAG, RESTORE_TAG
from flows.incidents.restore import AT_ONCE
from tasks.model.outcome import Severity

NEVER_WAITS = frozenset({Severity.CRITICAL.value, RESTORE_TAG, LIFECYCLE_TAG})
"""The tags of deployments for which slots are reserved."""


def never_waits(run: FlowRun) -> bool:
    """Whether slots are reserved for this run."""
    return not NEVER_WAITS.isdisjoint(run.tags)


def reserved_by_default(limit: int) -> int:
    """Four of the slots, or as many as there are but one: as many restores as begin at once, and a critical run."""
    return min(AT_ONCE + 1, limit - 1)


@dataclass(frozen=True, slots=True)
class Slots:
    """At most `limit` runs at once, of which `reserved` slots are for those that never wait."""

    limit: int
    reserved: int

    def __post_init__(self) -> None:
        if not 0 <= self.reserved < self.limit:
            raise ValueError(f"{self.reserved} of {self.limit} slots cannot be reserved: one must be left for the rest")

    def choose(self, due: Sequence[FlowRun], busy: Collection[FlowRun]) -> list[FlowRun]:
        """Those of the due runs that may start next to the busy ones: first the critical ones, then what else never
        waits, then by their time."""
        ids = {run.id for run in busy}
        waiting = sorted((run for run in due if run.id not in ids), key=_turn)
        free = self.limit - len(busy)
        free_for_all = self.limit - self.reserved - sum(not never_waits(run) for run in busy)
        chosen: list[FlowRun] = []
        for run in waiting:
            if len(chosen) == free:
                break
            if never_waits(run):
                chosen.append(run)
            elif free_for_all > 0:
                chosen.append(run)
                free_for_all -= 1
        return chosen


def _turn(run: FlowRun) -> tuple[bool, bool, float]:
    due_at = run.next_scheduled_start_time or run.expected_start_time
    return Severity.CRITICAL.value not in run.tags, not never_waits(run), due_at.timestamp() if due_at else 0.0
