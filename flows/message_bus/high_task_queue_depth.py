"""High Task Queue Depth: more than 800 tasks are waiting.

Source: Message Bus & Orchestration Troubleshooting Runbook, "High Task Queue Depth".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from prefect import State, flow
from pydantic import BaseModel, ConfigDict

from flows.message_bus import changes, probes, restoring
from flows.message_bus.escalation import LADDER
from flows.message_bus.platform import DOCUMENT, MessageBus
from flows.parameters import NUMBERS, HowFar, IncidentId, Site, TrustLevel, for_this_run
from tasks.alerts import alert_resolved
from tasks.model.claim import Bound, Claim
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, GiveBack, HandOver, Healthy, Keep, No, Triage, Verdict, Wait, Yes
from tasks.model.evidence import Unknown, UnknownReading
from tasks.model.incident import Raiser
from tasks.model.outcome import Severity
from tasks.respond import Request, respond
from tasks.runbook import Look, Release, Runbook, Trigger
from tasks.systems.metrics import Question


def trigger(bus: MessageBus) -> Trigger:
    """The alert's condition."""
    numbers = bus.high_task_queue_depth
    broken = Limit(">", numbers.queue_limit, "tasks")
    return Trigger(f"more than {numbers.queue_limit} tasks waiting", probes.queue_depth(bus), broken, numbers.hold)


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence: the document's three diagnoses, and what its options need to know."""

    queue: probes.TaskQueue | Unknown
    pool: probes.WorkerPool | Unknown
    durations: probes.TaskDurations | Unknown
    slow_tasks: probes.SlowTasks | Unknown
    replicas: probes.Replicas | Unknown
    publishers: probes.Replicas | Unknown
    pool_size: probes.PoolSize | Unknown
    load: probes.Load | Unknown
    redis: probes.RedisAnswer | Unknown


def evidence(look: Look, bus: MessageBus) -> Found:
    """Takes the readings."""
    return Found(
        queue=look(probes.task_queue(bus)),
        pool=look(probes.worker_pool(bus)),
        durations=look(probes.task_durations(bus)),
        slow_tasks=look(probes.slow_tasks(bus)),
        replicas=look(probes.replicas(bus, bus.orchestration)),
        publishers=look(probes.replicas(bus, bus.publishers)),
        pool_size=look(probes.pool_size(bus)),
        load=look(probes.load(bus)),
        redis=look(probes.redis_answer(bus)),
    )


def triage(found: Found, bus: MessageBus) -> Triage:
    """Whether there is anything to do, and whether it is ours."""
    numbers = bus.high_task_queue_depth
    if isinstance(found.queue, Unknown) and isinstance(found.redis, Unknown):
        return HandOver("redis_connection_loss", f"Redis does not answer: {found.redis.reason}", "cause")
    pending = found.queue.pending
    if pending <= numbers.queue_limit:
        return Healthy(f"{pending:.0f} tasks waiting, not more than {numbers.queue_limit}")
    if pending > numbers.critical_limit:
        return HandOver(
            "critical_task_queue_depth", f"{pending:.0f} tasks waiting, above {numbers.critical_limit}", "graver"
        )
    return Act(f"{pending:.0f} tasks waiting, more than {numbers.queue_limit}")


def scale_workers_out(found: Found, bus: MessageBus) -> Verdict:
    """Option 1: scale workers horizontally, if the autoscaler has not reacted."""
    pods, goal = found.replicas, min(bus.high_task_queue_depth.replicas, bus.replica_ceiling)
    scaler = pods.autoscaler
    if scaler and scaler.reacting:
        return Wait(f"the autoscaler is already scaling from {scaler.current} to {scaler.desired}")
    if not pods.settled:
        return Wait(f"a rollout is in progress: {pods.ready} of {pods.wanted} pods ready")
    if scaler and pods.wanted >= scaler.maximum:
        return No(f"the autoscaler is at its ceiling of {scaler.maximum} replicas")
    if pods.wanted >= goal:
        return No(f"{pods.wanted} replicas run already, at least {goal} were wanted")
    return Yes(
        f"{found.pool.utilisation:.0%} of the workers are busy, and "
        + ("the autoscaler has not reacted" if scaler else "there is no autoscaler"),
        (
            (
                changes.replicas(
                    bus,
                    pods,
                    bus.orchestration,
                    Claim(Bound.AT_LEAST, goal),
                    restoring.when(bus.high_task_queue_depth.restore_below),
                ),
            ),
        ),
    )


def grow_worker_pools(found: Found, bus: MessageBus) -> Verdict:
    """Option 2: increase the worker pool size, if CPU and memory are available."""
    numbers = bus.high_task_queue_depth
    goal = min(numbers.workers_per_pod, bus.worker_ceiling)
    size = found.pool.smallest_pool
    if size >= goal:
        return No(f"every pod has {size:.0f} workers already, at least {goal} were wanted")
    if not found.replicas.settled:
        return Wait(f"a rollout is in progress: {found.replicas.ready} of {found.replicas.wanted} pods ready")
    if not size:
        raise UnknownReading("a pod has no workers at all, so what more of them would need cannot be told")
    load = found.load.grown(goal / size)
    if load.highest > bus.load_at_most:
        return No(
            f"{goal} workers per pod would need about {load.cpu:.0%} of the CPU and {load.memory:.0%} of the memory "
            f"limit, at most {bus.load_at_most:.0%} are allowed"
        )
    # Asked before any restart: with Redis gone, new pods would not come up either.
    redis = f"Redis answers in {found.redis.milliseconds:.1f} ms"
    return Yes(
        f"CPU and memory are available ({load.cpu:.0%} and {load.memory:.0%} of the limits after growing), {redis}",
        (
            changes.pool_size(
                bus,
                found.pool_size,
                Claim(Bound.AT_LEAST, goal),
                restoring.when(bus.high_task_queue_depth.restore_below),
            ),
        ),
    )


def rate_limit_ingestion(found: Found, bus: MessageBus) -> Verdict:
    """Option 3: rate limit event ingestion, if the queue is not draining."""
    numbers = bus.high_task_queue_depth
    if found.queue.growth_per_second < 0:
        return No(f"the queue is draining by {-found.queue.growth_per_second:.1f} tasks/s")
    if found.publishers.wanted <= numbers.publishers:
        return No(f"{found.publishers.wanted} {bus.publishers} run, at most {numbers.publishers} were wanted")
    return Yes(
        f"the queue is not draining (growing by {found.queue.growth_per_second:.1f} tasks/s)",
        (
            (
                changes.replicas(
                    bus,
                    found.publishers,
                    bus.publishers,
                    Claim(Bound.AT_MOST, numbers.publishers),
                    changes.silent(bus, restoring.when(numbers.restore_below)),
                    asks="events of the paused publishers are delayed",
                ),
            ),
        ),
    )


def give_back(found: Found, bus: MessageBus, release: Release) -> Keep | GiveBack:
    """Whether a claim is still needed: the document's "after queue < 500", and what is left must carry the load."""
    below = bus.high_task_queue_depth.restore_below
    return restoring.judge(found.queue, found.pool, found.replicas, bus, release, below)


def criteria(bus: MessageBus, raiser: Raiser) -> tuple[Criterion, ...]:
    """When it is fixed: the document's "Validation"."""
    numbers, pace = bus.high_task_queue_depth, bus.pace
    return (
        Criterion(
            "queue_below_warning",
            f"Queue depth drops below {numbers.queue_limit} within {numbers.recovered_within_minutes:g} min",
            lambda: bus.metrics().ask(probes.queue_depth(bus)),
            Limit("<", numbers.queue_limit, "tasks"),
            within=numbers.recovered_within,
            settle=pace.settle,
            stale_after=pace.stale_after,
        ),
        Criterion(
            "utilisation_band",
            f"Worker utilization stabilizes between "
            f"{numbers.utilisation_usually:.0%} and {numbers.utilisation_at_most:.0%}",
            lambda: bus.metrics().ask(probes.utilisation(bus)),
            Limit("<=", numbers.utilisation_at_most, "ratio"),
            within=bus.escalate_after,
            settle=pace.settle,
            stale_after=pace.stale_after,
            # An idle pool after a drained queue is a success: the lower end of the band only informs.
            inform=Limit(">=", numbers.utilisation_usually, "ratio"),
        ),
        alert_resolved("Alert resolves automatically", bus, RUNBOOK.alert, trigger(bus), raiser),
    )


def questions(bus: MessageBus) -> tuple[Question, ...]:
    """What all of this asks of metrics."""
    return (*probes.queue_questions(bus), *probes.pool_questions(bus), probes.run_time(bus), probes.utilisation(bus))


RUNBOOK = Runbook(
    id="high_task_queue_depth",
    title="High task queue depth",
    document=DOCUMENT,
    section="High Task Queue Depth",
    alert="HighTaskQueueDepth",
    severity=Severity.WARNING,
    respond_within=timedelta(minutes=15),
    platform=MessageBus,
    trigger=trigger,
    evidence=evidence,
    questions=questions,
    triage=triage,
    options=(scale_workers_out, grow_worker_pools, rate_limit_ingestion),
    criteria=criteria,
    subject=MessageBus.subject,
    ladder=LADDER,
    give_back=give_back,
)


class Numbers(BaseModel):
    """Numbers for one run; None leaves the site's."""

    model_config = ConfigDict(frozen=True)

    replicas: int | None = for_this_run("Scale out to (replicas, at least)", at_least=1)
    workers_per_pod: int | None = for_this_run("Grow pools to (workers per pod, at least)", at_least=1)
    publishers: int | None = for_this_run("Reduce event publishers to (replicas, at most)", at_least=0)


@flow(name=RUNBOOK.slug, flow_run_name="high task queue depth: {site}", description=__doc__)
def high_task_queue_depth(
    site: Site,
    incident: IncidentId = "",
    trust: TrustLevel = HowFar.AS_THE_SITE_SAYS,
    numbers: Annotated[Numbers, NUMBERS] = Numbers(),  # noqa: B008
) -> State[Any]:
    """More than 800 tasks are waiting: scale out, grow the pools, or slow the publishers down."""
    return respond(RUNBOOK, Request(site, incident or None, trust.trust, numbers))
