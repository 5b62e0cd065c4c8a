"""Which stuck task to cancel: one, chosen by a rule that anybody can check.

Source: Message Bus & Orchestration Troubleshooting Runbook, "Worker Pool Exhaustion", option 2. The document says
"cancel specific stuck task" and not which one is; cancelling needs a rule (catalogue, D043).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tasks.systems.orchestration.admin import Task

SHOWN = 30
Graph = Mapping[str, Sequence[str]]
"""By task, the tasks that it waits for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that has been running for too long: how many others wait for it, and why it was passed over, if it was."""

    task: Task
    awaited_by: int
    passed_over: str = ""

    def __str__(self) -> str:
        awaited = f"{self.awaited_by} waiting for it" if self.awaited_by else "nobody waits for it"
        return f"{self.task.id} ({self.task}; {awaited})"


@dataclass(frozen=True, slots=True)
class Choice:
    """The task to cancel, None where there is none, and all others that were looked at, each with the reason."""

    victim: Candidate | None
    others: tuple[Candidate, ...]

    @property
    def why(self) -> str:
        """The victim and the candidates that were passed over, in words; of very many, the ones that came next."""
        chosen = f"chosen: {self.victim}" if self.victim else "none chosen"
        told = [f"not {other}: {other.passed_over}" for other in self.others[:SHOWN]]
        more = [f"and {len(self.others) - SHOWN} more"] if len(self.others) > SHOWN else []
        return "; ".join([chosen, *told, *more])


def choose(running: Sequence[Task], graph: Graph, older_than: timedelta) -> Choice:
    """The task to cancel of those that have been running for longer than `older_than`. Pure, and for the same tasks in
    any order the same.

    It is the one for which most others wait, at first or second hand; of those, the one that has run longest. One that
    itself waits for a running task is passed over, because that one is the cause; of running tasks that wait for each
    other in a circle it is the oldest that may be taken.
    """
    tasks = {task.id: task for task in running}
    ahead = {task: _reach(graph, task) for task in {*graph, *tasks}}
    looked_at = [
        Candidate(
            task, sum(id in there for other, there in ahead.items() if other != id), _in_the_way(id, tasks, ahead)
        )
        for id, task in tasks.items()
        if task.older_than(older_than)
    ]
    ranked = sorted(looked_at, key=lambda found: (-found.awaited_by, -_age(found.task), found.task.id))
    free = [found for found in ranked if not found.passed_over]
    victim = free[0] if free else None
    return Choice(victim, tuple(_ranked_lower(found) for found in ranked if found is not victim))


def _ranked_lower(found: Candidate) -> Candidate:
    if found.passed_over:
        return found
    return Candidate(found.task, found.awaited_by, "fewer wait for it, or it has run for less long")


def _in_the_way(id: str, tasks: Mapping[str, Task], ahead: Mapping[str, frozenset[str]]) -> str:
    """Why this task may not be taken: a running one that it waits for, or an older one of its circle."""
    running = (ahead[id] & tasks.keys()) - {id}
    circle = {other for other in running if id in ahead[other]}
    if cause := min(running - circle, default=None):
        return f"it waits for {cause}, which is running"
    oldest = min(circle | {id}, key=lambda other: (-_age(tasks[other]), other))
    return "" if oldest == id else f"{oldest} of the same circle is older"


def _reach(graph: Graph, start: str) -> frozenset[str]:
    """All tasks that one waits for, at first or second hand; itself only where it waits in a circle."""
    found: set[str] = set()
    following = list(graph.get(start, ()))
    while following:
        task = following.pop()
        if task not in found:
            found.add(task)
            following.extend(graph.get(task, ()))
    return frozenset(found)


def _age(task: Task) -> float:
    return task.duration_seconds or 0.0
