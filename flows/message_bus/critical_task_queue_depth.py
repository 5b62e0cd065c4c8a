"""Critical Task Queue Depth: more than 950 tasks are waiting, the queue is about to reject new ones.

Source: Message Bus & Orchestration Troubleshooting Runbook, "Critical Task Queue Depth".
"""

from __future__ import annotations

from collections.abc import Mapping
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
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, GiveBack, HandOver, Healthy, Keep, No, Step, Triage, Verdict, Yes
from tasks.model.evidence import Unknown
from tasks.model.incident import Raiser
from tasks.model.outcome import Severity
from tasks.respond import Request, respond
from tasks.runbook import Look, Release, Runbook, Trigger
from tasks.systems.metrics import Question


def trigger(bus: MessageBus) -> Trigger:
    """The alert's condition."""
    numbers = bus.critical_task_queue_depth
    broken = Limit(">", numbers.queue_limit, "tasks")
    return Trigger(f"more than {numbers.queue_limit} tasks waiting", probes.queue_depth(bus), broken, numbers.hold)


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence: the queue, and what the immediate actions need to know. `pausable` is by Deployment."""

    queue: probes.TaskQueue | Unknown
    pool: probes.WorkerPool | Unknown
    replicas: probes.Replicas | Unknown
    pool_size: probes.PoolSize | Unknown
    redis: probes.RedisAnswer | Unknown
    pausable: Mapping[str, probes.Replicas | Unknown]


def evidence(look: Look, bus: MessageBus) -> Found:
    """Takes the readings."""
    return Found(
        queue=look(probes.task_queue(bus)),
        pool=look(probes.worker_pool(bus)),
        replicas=look(probes.replicas(bus, bus.orchestration)),
        pool_size=look(probes.pool_size(bus)),
        redis=look(probes.redis_answer(bus)),
        pausable={deployment: look(probes.replicas(bus, deployment)) for deployment in bus.not_critical},
    )


def triage(found: Found, bus: MessageBus) -> Triage:
    """Whether there is anything to do, and whether it is ours."""
    limit, warning = bus.critical_task_queue_depth.queue_limit, bus.high_task_queue_depth.queue_limit
    if isinstance(found.queue, Unknown) and isinstance(found.redis, Unknown):
        return HandOver("redis_connection_loss", f"Redis does not answer: {found.redis.reason}", "cause")
    pending = found.queue.pending
    if pending > limit:
        return Act(f"{pending:.0f} tasks waiting, more than {limit}")
    lesser = f"; more than {warning} are high_task_queue_depth's" if pending > warning else ""
    return Healthy(f"{pending:.0f} tasks waiting, not more than {limit}{lesser}")


def act_at_once(found: Found, bus: MessageBus) -> Verdict:
    """Immediate actions: emergency scale-up, and pause non-critical event sources.

    All of them at once, as the document numbers them without a condition, in the order in which they relieve: first the
    setting of the pool size, so that the new pods, which come next, are born with it; then the event sources, which
    only wait for a person; last the rollout that brings the size to the old pods, because it interrupts what they do.
    So there is one rollout, and it never runs beside the scale-up (D005).
    """
    numbers = bus.critical_task_queue_depth
    pending, restore = found.queue.pending, restoring.when(numbers.restore_below)
    pods = changes.more_pods(bus, found.replicas, numbers.replicas, restore)
    pools = changes.bigger_pools(
        bus,
        found.pool,
        found.pool_size,
        found.redis,
        numbers.workers_per_pod,
        restore,
        pods_come=bool(pods.steps),
    )
    pauses = _pauses(found, bus)
    steps = (*pools.setting, *pods.steps, *pauses.steps, *pools.rollout)
    because = "; ".join(filter(None, [f"{pending:.0f} tasks are waiting", pods.says, pools.says, pauses.says]))
    return Yes(because, steps) if steps else No(because)


def _pauses(found: Found, bus: MessageBus) -> changes.Part:
    """The event sources that are not known to be paused already; one that cannot be read refuses its own step only."""
    going = [name for name, pods in found.pausable.items() if isinstance(pods, Unknown) or pods.wanted]
    resume = f"gradually, once fewer than {bus.critical_task_queue_depth.restore_below} tasks wait"
    steps: tuple[Step, ...] = tuple((changes.pause(bus, name, resume),) for name in going)
    return changes.Part(steps, f"{' and '.join(going)} can be paused" if going else "no event source is left to pause")


def give_back(found: Found, bus: MessageBus, release: Release) -> Keep | GiveBack:
    """Whether a claim is still needed: "gradually restore event sources after queue < 500", and capacity likewise."""
    below = bus.critical_task_queue_depth.restore_below
    return restoring.judge(found.queue, found.pool, found.replicas, bus, release, below)


def criteria(bus: MessageBus, raiser: Raiser) -> tuple[Criterion, ...]:
    """When the emergency is over. The section has no "Validation" (D069); these are implied: first below its own limit,
    then on the way to the lesser alert's. 500 is where things are given back, not where the emergency ends."""
    numbers, pace = bus.critical_task_queue_depth, bus.pace
    warning = bus.high_task_queue_depth.queue_limit
    return (
        Criterion(
            "queue_recovering",
            f"Queue depth drops below {numbers.queue_limit} within {numbers.recovered_within_minutes:g} min",
            lambda: bus.metrics().ask(probes.queue_depth(bus)),
            Limit("<", numbers.queue_limit, "tasks"),
            within=numbers.recovered_within,
            settle=pace.settle,
            stale_after=pace.stale_after,
        ),
        Criterion(
            "queue_draining",
            f"Queue drains, or is below {warning}",
            lambda: probes.standing_queue(bus, warning),
            Limit("<", warning, "tasks that do not drain"),
            within=bus.escalate_after,
            settle=pace.settle,
            stale_after=pace.stale_after,
        ),
        alert_resolved("Alert resolves", bus, RUNBOOK.alert, trigger(bus), raiser),
    )


def questions(bus: MessageBus) -> tuple[Question, ...]:
    """What all of this asks of metrics."""
    return (*probes.queue_questions(bus), *probes.pool_questions(bus))


RUNBOOK = Runbook(
    id="critical_task_queue_depth",
    title="Critical task queue depth",
    document=DOCUMENT,
    section="Critical Task Queue Depth",
    alert="CriticalTaskQueueDepth",
    severity=Severity.CRITICAL,
    respond_within=timedelta(0),  # "Respond immediately"
    platform=MessageBus,
    trigger=trigger,
    evidence=evidence,
    questions=questions,
    triage=triage,
    options=(act_at_once,),
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


@flow(name=RUNBOOK.slug, flow_run_name="critical task queue depth: {site}", description=__doc__)
def critical_task_queue_depth(
    site: Site,
    incident: IncidentId = "",
    trust: TrustLevel = HowFar.AS_THE_SITE_SAYS,
    numbers: Annotated[Numbers, NUMBERS] = Numbers(),  # noqa: B008
) -> State[Any]:
    """More than 950 tasks are waiting: scale out, grow the pools and pause event sources, all at once."""
    return respond(RUNBOOK, Request(site, incident or None, trust.trust, numbers))
