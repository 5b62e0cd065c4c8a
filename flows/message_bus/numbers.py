"""The numbers of the document, per runbook, each with the document's value as default.

Counts of replicas and workers are floors or ceilings, never absolute values: what is already better stays.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class PausedSources(BaseModel):
    """What the site's own alerts say while a runbook has paused or reduced an event source."""

    model_config = ConfigDict(frozen=True)

    alerts: tuple[str, ...] = Field(
        (),
        title="Alerts that say only that an event source is silent or slow",
        description="By name. Held back while a runbook has paused or reduced the source, and shown as such.",
    )
    label: str = Field("deployment", min_length=1, title="Label by which such an alert names the source")
    fade_minutes: float = Field(10, ge=0, title="Such an alert is over after the source is back within (minutes)")


class HighTaskQueueDepth(BaseModel):
    """Numbers of "High Task Queue Depth"."""

    model_config = ConfigDict(frozen=True)

    queue_limit: int = Field(800, ge=1, title="Queue limit (tasks)", description="The alert fires above it.")
    critical_limit: int = Field(
        950, ge=1, title="Critical queue limit (tasks)", description="Above it the critical runbook takes over."
    )
    hold_minutes: float = Field(
        5, ge=0, title="Limit broken for (minutes)", description="The document states none; 5 is the usual rule."
    )
    replicas: int = Field(5, ge=1, title="Scale out to (replicas, at least)")
    workers_per_pod: int = Field(15, ge=1, title="Grow pools to (workers per pod, at least)")
    publishers: int = Field(1, ge=0, title="Reduce event publishers to (replicas, at most)")
    recovered_within_minutes: float = Field(10, gt=0, title="Queue below the limit within (minutes)")
    utilisation_at_most: float = Field(0.8, gt=0, le=1, title="Worker utilisation at most (ratio)")
    utilisation_usually: float = Field(
        0.6, ge=0, le=1, title="Worker utilisation usually above (ratio)", description="For information only."
    )
    restore_below: int = Field(500, ge=0, title="Give changes back below (tasks)")

    @property
    def hold(self) -> timedelta:
        return timedelta(minutes=self.hold_minutes)

    @property
    def recovered_within(self) -> timedelta:
        return timedelta(minutes=self.recovered_within_minutes)


class CriticalTaskQueueDepth(BaseModel):
    """Numbers of "Critical Task Queue Depth"."""

    model_config = ConfigDict(frozen=True)

    queue_limit: int = Field(950, ge=1, title="Critical queue limit (tasks)", description="The alert fires above it.")
    hold_minutes: float = Field(
        2, ge=0, title="Limit broken for (minutes)", description="The document states none; 2 is the usual rule."
    )
    replicas: int = Field(10, ge=1, title="Scale out to (replicas, at least)")
    workers_per_pod: int = Field(20, ge=1, title="Grow pools to (workers per pod, at least)")
    recovered_within_minutes: float = Field(
        10,
        gt=0,
        title="Queue below the limit within (minutes)",
        description="The section has no validation; borrowed from “High Task Queue Depth”.",
    )
    restore_below: int = Field(500, ge=1, title="Give changes back below (tasks)")

    @property
    def hold(self) -> timedelta:
        return timedelta(minutes=self.hold_minutes)

    @property
    def recovered_within(self) -> timedelta:
        return timedelta(minutes=self.recovered_within_minutes)


class WorkerPoolExhaustion(BaseModel):
    """Numbers of "Worker Pool Exhaustion"."""

    model_config = ConfigDict(frozen=True)

    queue_limit: int = Field(
        50, ge=1, title="Queue limit (tasks)", description="The alert fires above it while all workers are busy."
    )
    hold_minutes: float = Field(
        10, ge=0, title="Limit broken for (minutes)", description="The document states none; 10 is the usual rule."
    )
    replicas: int = Field(5, ge=1, title="Scale out to (replicas, at least)")
    workers_per_pod: int = Field(15, ge=1, title="Grow pools to (workers per pod, at least)")
    long_seconds: float = Field(
        60, gt=0, title="A task takes long after (seconds)", description="For information only."
    )
    stuck_after_seconds: float = Field(
        300,
        gt=0,
        title="A task is stuck after (seconds)",
        description="Younger tasks are never cancelled. Longer than an option's time to show effect (see Pace): by the "
        "tasks that began since the last cancellation it is told whether cancelling helps.",
    )
    cancel_at_most: int = Field(
        5,
        ge=0,
        title="Stuck tasks cancelled for one incident, at most",
        description="One at a time, each with a person's approval. The document states no number.",
    )
    utilisation_below: float = Field(0.9, gt=0, le=1, title="Worker utilisation below (ratio)")
    restore_below: int = Field(
        50,
        ge=1,
        title="Give changes back below (tasks)",
        description="The document states none; at the alert's own limit more workers are still needed.",
    )

    @property
    def hold(self) -> timedelta:
        return timedelta(minutes=self.hold_minutes)

    @property
    def long(self) -> timedelta:
        return timedelta(seconds=self.long_seconds)

    @property
    def stuck_after(self) -> timedelta:
        return timedelta(seconds=self.stuck_after_seconds)


def contradictions(
    high: HighTaskQueueDepth,
    critical: CriticalTaskQueueDepth,
    exhaustion: WorkerPoolExhaustion,
    quick_check: timedelta,
) -> tuple[str, ...]:
    """Numbers that do not go together, a sentence each. `quick_check` is an option's time to show effect."""
    found = {
        "high_task_queue_depth.queue_limit is not below critical_task_queue_depth.queue_limit: the critical alert "
        "comes first": high.queue_limit >= critical.queue_limit,
        "high_task_queue_depth.critical_limit is not critical_task_queue_depth.queue_limit: between the two limits "
        "both runbooks act on the queue, or none does": high.critical_limit != critical.queue_limit,
        "worker_pool_exhaustion.stuck_after_seconds is not longer than pace.quick_check_minutes: tasks that began "
        "since the last cancellation pass for stuck": exhaustion.stuck_after <= quick_check,
    }
    for runbook, numbers in (
        ("high_task_queue_depth", high),
        ("critical_task_queue_depth", critical),
        ("worker_pool_exhaustion", exhaustion),
    ):
        early = numbers.restore_below > numbers.queue_limit
        found[f"{runbook}.restore_below is above its queue_limit: changes are given back while the alert is on"] = early
    return tuple(sentence for sentence, holds in found.items() if holds)
