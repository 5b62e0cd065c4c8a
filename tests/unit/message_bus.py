"""The message bus as its runbooks see it, in plain values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flows.message_bus import probes
from flows.message_bus.platform import MessageBus
from tasks.decide import Earlier, weigh
from tasks.ledger.records import ClaimRecord, ClaimState
from tasks.model.change import Change, Effect
from tasks.model.claim import Bound, Claim, Levels
from tasks.model.decision import Blind, No, Verdict
from tasks.model.evidence import Unknown
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tasks.runbook import AnyRunbook, Release
from tasks.systems.kubernetes.scaling import Autoscaler
from tasks.systems.orchestration.admin import Dependencies, Task

READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
CONFIGMAP = Target("configmap", "bus", "orchestration-config")
DEPLOYMENT = Target("deployment", "bus", "orchestration")
GONE = Unknown("cannot be read")

SETTING = "ORCHESTRATION_WORKER_POOL_SIZE of orchestration-config"
RESTART = "rollout of orchestration: restarted, to read ORCHESTRATION_WORKER_POOL_SIZE"


def bus(**settings: Any) -> MessageBus:
    return MessageBus(namespace="bus", context="somewhere", **settings)


def queue(pending: float = 850, growth: float = 2, completed: float = 5) -> probes.TaskQueue:
    return probes.TaskQueue(pending, running=20, completed_per_second=completed, growth_per_second=growth)


def pods(wanted: int, *, scaler: tuple[int, int, int, int] | None = None, settled: bool = True) -> probes.Replicas:
    """`scaler` is minimum, maximum, current, desired."""
    autoscaler = Autoscaler("orchestration", "7", *scaler) if scaler else None
    return probes.Replicas(wanted, wanted if settled else wanted - 1, settled, autoscaler)


def pool(smallest: float = 10, active: float = 20, workers: float = 20) -> probes.WorkerPool:
    return probes.WorkerPool(active, workers, smallest)


def pool_size(configured: int = 10, holder: Target = CONFIGMAP) -> probes.PoolSize:
    return probes.PoolSize(configured, holder, READ_AT)


def running(*tasks: Task) -> probes.RunningTasks:
    return probes.RunningTasks(tasks, READ_AT)


def task(id: str, seconds: float | None = 400, status: str = "running", **other: Any) -> Task:
    values: dict[str, Any] = {"task_name": "email_sender", "pod": "pod-1", "attempts": 1, "started_at": 1_700_000_000}
    return Task(id=id, status=status, duration_seconds=seconds, **{**values, **other})


def graph(circles: Sequence[Sequence[str]] = (), **waits: str) -> Dependencies:
    """Who waits for whom; all that wait are blocked now."""
    return Dependencies(
        blocked_tasks=tuple(waits),
        dependency_graph={task: (other,) for task, other in waits.items()},
        circular_chains=tuple(map(tuple, circles)),
    )


def shown(changes: Sequence[Change]) -> list[str]:
    return [f"{change.field} of {change.target.name}: {change.wanted}" for change in changes]


def rollouts(changes: Sequence[Change]) -> int:
    """How many of the changes replace pods, or interrupt work in another way."""
    return sum(change.effect is Effect.DISRUPTIVE for change in changes)


def on(runbook: AnyRunbook, seen: Any, option: str, **settings: Any) -> Verdict:
    """The verdict on one option, as the ladder gets it: where the triage is blind, none applies."""
    decision = weigh(runbook, seen, bus(**settings), Earlier())
    if isinstance(decision.triage, Blind):
        return No(decision.because, blind=True)
    return next(weighed.verdict for weighed in decision.weighed if weighed.option == option)


def release(claim: Claim, before: Levels, after: Levels) -> Release:
    """A claim of a runbook that may be given back."""
    record = ClaimRecord(
        1, "prod", DEPLOYMENT, "any", claim, ClaimState.OPEN, "run-1", None, "a_runbook", "an option", Severity.WARNING,
        READ_AT, READ_AT,
    )  # fmt: skip
    return Release(record, before, after)


def at_least(value: int) -> Claim:
    return Claim(Bound.AT_LEAST, value)


def at_most(value: int) -> Claim:
    return Claim(Bound.AT_MOST, value)
