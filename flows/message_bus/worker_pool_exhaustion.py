"""Worker Pool Exhaustion: all workers are busy, and more than 50 tasks are waiting.

Source: Message Bus & Orchestration Troubleshooting Runbook, "Worker Pool Exhaustion".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from prefect import State, flow
from pydantic import BaseModel, ConfigDict

from flows.message_bus import changes, probes, restoring, victims
from flows.message_bus.escalation import LADDER
from flows.message_bus.platform import DOCUMENT, MessageBus
from flows.parameters import NUMBERS, HowFar, IncidentId, Site, TrustLevel, for_this_run
from tasks.alerts import alert_resolved
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, GiveBack, HandOver, Healthy, Keep, No, Triage, Verdict, Wait, Yes
from tasks.model.evidence import Reading, Unknown
from tasks.model.incident import Raiser
from tasks.model.outcome import Severity
from tasks.respond import Request, respond
from tasks.runbook import Look, Release, Runbook, Trigger
from tasks.systems.kubernetes.config import Restart
from tasks.systems.metrics import Question
from tasks.systems.orchestration.admin import Dependencies
from tasks.systems.orchestration.cancellation import CancelTask


def trigger(bus: MessageBus) -> Trigger:
    """The alert's condition."""
    numbers = bus.worker_pool_exhaustion
    text = f"more than {numbers.queue_limit} tasks waiting while all workers are busy"
    return Trigger(text, probes.waiting_while_busy(bus), Limit(">", numbers.queue_limit, "tasks"), numbers.hold)


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence: the document's three diagnoses, and what its options need to know."""

    queue: probes.TaskQueue | Unknown
    pool: probes.WorkerPool | Unknown
    long_tasks: probes.LongTasks | Unknown
    waits: probes.DependencyWaits | Unknown
    dependencies: Dependencies | Unknown
    running: probes.RunningTasks | Unknown
    replicas: probes.Replicas | Unknown
    pool_size: probes.PoolSize | Unknown
    load: probes.Load | Unknown
    redis: probes.RedisAnswer | Unknown


def evidence(look: Look, bus: MessageBus) -> Found:
    """Takes the readings."""
    return Found(
        queue=look(probes.task_queue(bus)),
        pool=look(probes.worker_pool(bus)),
        long_tasks=look(probes.long_tasks(bus)),
        waits=look(probes.dependency_waits(bus)),
        dependencies=look(probes.dependencies(bus)),
        running=look(probes.running_tasks(bus)),
        replicas=look(probes.replicas(bus, bus.orchestration)),
        pool_size=look(probes.pool_size(bus)),
        load=look(probes.load(bus)),
        redis=look(probes.redis_answer(bus)),
    )


def triage(found: Found, bus: MessageBus) -> Triage:
    """Whether there is anything to do, and whether it is ours.

    A queue above the limits of the two queue alerts is not handed over: each of them opens an incident of its own,
    their runbooks know nothing of stuck tasks, and who may act on the workers is settled by the lock on them, which
    the graver one takes.

    Where the alert's condition is gone and stuck tasks still keep most workers, it would come back, and the gate would
    not open: that is ours too. All that is left to do then asks a person.
    """
    if isinstance(found.queue, Unknown) and isinstance(found.redis, Unknown):
        return HandOver("redis_connection_loss", f"Redis does not answer: {found.redis.reason}", "cause")
    relieved = _relieved(found, bus)
    if not relieved:
        return Act(f"{found.queue.pending:.0f} tasks waiting, and all {found.pool.workers:.0f} workers are busy")
    if isinstance(found.running, Unknown) or isinstance(found.pool, Unknown):
        return Healthy(relieved)
    stuck = found.running.older_than(bus.worker_pool_exhaustion.stuck_after)
    if stuck and found.pool.utilisation > bus.high_task_queue_depth.utilisation_at_most:
        return Act(f"{relieved}, but {len(stuck)} tasks are stuck and {found.pool.utilisation:.0%} of the workers busy")
    return Healthy(relieved)


def _relieved(found: Found, bus: MessageBus) -> str:
    """Why the alert's condition does not hold, or the empty string."""
    limit = bus.worker_pool_exhaustion.queue_limit
    if not isinstance(found.queue, Unknown) and found.queue.pending <= limit:
        return f"{found.queue.pending:.0f} tasks waiting, not more than {limit}"
    free = found.pool.workers - found.pool.active
    return f"{free:.0f} of {found.pool.workers:.0f} workers are free" if free > 0 else ""


def emergency_scale_up(found: Found, bus: MessageBus) -> Verdict:
    """Option 1: emergency scale-up, while the workers are busy with ordinary work.

    The document scales and sets the pool size, which is two rollouts; here the setting comes first and the new pods are
    born with it, then the old ones are replaced in the one rollout that is left (D005). Stuck tasks, tasks that wait
    for each other, and tasks of which none completes are not ordinary work; tasks that wait for one in work are.
    """
    numbers = bus.worker_pool_exhaustion
    if stuck := found.running.older_than(numbers.stuck_after):
        return No(f"{len(stuck)} tasks have been running for more than {numbers.stuck_after_seconds:g} s")
    if circles := found.dependencies.circular_chains:
        return No(f"tasks wait for each other in a circle: {' -> '.join(circles[0])}")
    if not found.queue.completed_per_second:
        return No("no task completes: more workers would wait for the same")
    restore = restoring.when(numbers.restore_below)
    pods = changes.more_pods(bus, found.replicas, numbers.replicas, restore)
    pools = changes.bigger_pools(
        bus,
        found.pool,
        found.pool_size,
        found.redis,
        numbers.workers_per_pod,
        restore,
        pods_come=bool(pods.steps),
        load=found.load,
    )
    steps = (*pools.setting, *pods.steps, *pools.rollout)
    because = f"{found.pool.utilisation:.0%} of the workers are busy and no task is stuck; {pods.says}; {pools.says}"
    return Yes(because, steps) if steps else No(f"{pods.says}; {pools.says}")


def cancel_stuck_task(found: Found, bus: MessageBus) -> Verdict:
    """Option 2: kill stuck tasks, if deadlock is suspected.

    One task at a time, and then a fresh look: it may have freed all the others. Which one is a rule (see `victims`).
    Where nothing completes, and what began later does not either, the next task would hang in the same place: whatever
    all of them wait for is not cured by cancelling.
    """
    numbers = bus.worker_pool_exhaustion
    choice = victims.choose(found.running.tasks, found.dependencies.dependency_graph, numbers.stuck_after)
    if choice.victim is None:
        why = f": {choice.why}" if choice.others else ""
        return No(f"no task that may be cancelled has run for more than {numbers.stuck_after_seconds:g} s{why}")
    later = len(found.running.tasks) - len(found.running.older_than(numbers.stuck_after))
    if not found.queue.completed_per_second and later:
        return No(f"no task completes, not even the {later} that began later: what they wait for lies elsewhere")
    task = choice.victim.task
    cancellation = CancelTask(bus.admin(), bus.namespace, task, numbers.stuck_after, choice.why)
    return Yes(
        f"tasks have been running for more than {numbers.stuck_after_seconds:g} s; {choice.why}", ((cancellation,),)
    )


def restart_workers(found: Found, bus: MessageBus) -> Verdict:
    """Option 3: restart workers, as a last resort.

    The ladder comes here when the other options did not free workers. Where none is stuck and tasks are completed, a
    restart would only interrupt them.
    """
    stuck = found.running.older_than(bus.worker_pool_exhaustion.stuck_after)
    completed = found.queue.completed_per_second
    if relieved := _relieved(found, bus):
        return No(relieved)
    if not stuck and completed > 0:
        return No(f"no task is stuck, and {completed:.1f} tasks/s are completed")
    if not found.replicas.settled:
        return Wait(f"a rollout is in progress: {found.replicas.ready} of {found.replicas.wanted} pods ready")
    redis = f"Redis answers in {found.redis.milliseconds:.1f} ms"  # without it the new pods would not come up
    restart = Restart(
        bus.cluster(),
        bus.orchestration,
        "to clear stuck workers",
        found.running.read_at,
        asks="a restart interrupts every running task",
    )
    return Yes(f"{len(stuck)} tasks are stuck and {completed:.1f} tasks/s are completed, {redis}", ((restart,),))


def give_back(found: Found, bus: MessageBus, release: Release) -> Keep | GiveBack:
    """Whether a claim is still needed: the queue is short, and what is left must carry the load."""
    below = bus.worker_pool_exhaustion.restore_below
    return restoring.judge(found.queue, found.pool, found.replicas, bus, release, below)


def criteria(bus: MessageBus, raiser: Raiser) -> tuple[Criterion, ...]:
    """When it is fixed: the document's "Validation"."""
    numbers, pace = bus.worker_pool_exhaustion, bus.pace

    def criterion(id: str, text: str, measure: Callable[[], Reading[float]], limit: Limit) -> Criterion:
        return Criterion(id, text, measure, limit, bus.escalate_after, pace.settle, pace.stale_after)

    return (
        criterion(
            "utilisation",
            f"Worker utilization drops below {numbers.utilisation_below:.0%}",
            lambda: bus.metrics().ask(probes.utilisation(bus)),
            Limit("<", numbers.utilisation_below, "ratio"),
        ),
        criterion(
            "draining",
            f"Queue starts draining, or is below {numbers.queue_limit}",
            lambda: probes.standing_queue(bus, numbers.queue_limit),
            Limit("<", numbers.queue_limit, "tasks that do not drain"),
        ),
        criterion(
            "throughput",
            "Task throughput resumes",
            lambda: bus.metrics().ask(probes.throughput(bus)),
            Limit(">", 0, "tasks/s"),
        ),
        alert_resolved("Alert resolves", bus, RUNBOOK.alert, trigger(bus), raiser),
    )


def _cancellations(bus: MessageBus) -> int:
    """How many stuck tasks may be cancelled for one incident."""
    return bus.worker_pool_exhaustion.cancel_at_most


def questions(bus: MessageBus) -> tuple[Question, ...]:
    """What all of this asks of metrics."""
    return (*probes.queue_questions(bus), *probes.pool_questions(bus), probes.utilisation(bus))


RUNBOOK = Runbook(
    id="worker_pool_exhaustion",
    title="Worker pool exhaustion",
    document=DOCUMENT,
    section="Worker Pool Exhaustion",
    alert="WorkerPoolExhaustion",
    severity=Severity.WARNING,
    respond_within=timedelta(minutes=10),
    platform=MessageBus,
    trigger=trigger,
    evidence=evidence,
    questions=questions,
    triage=triage,
    options=(emergency_scale_up, cancel_stuck_task, restart_workers),
    repeats={cancel_stuck_task: _cancellations},
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
    cancel_at_most: int | None = for_this_run("Stuck tasks cancelled for one incident, at most", at_least=0)


@flow(name=RUNBOOK.slug, flow_run_name="worker pool exhaustion: {site}", description=__doc__)
def worker_pool_exhaustion(
    site: Site,
    incident: IncidentId = "",
    trust: TrustLevel = HowFar.AS_THE_SITE_SAYS,
    numbers: Annotated[Numbers, NUMBERS] = Numbers(),  # noqa: B008
) -> State[Any]:
    """All workers are busy and more than 50 tasks are waiting: scale out, cancel stuck tasks, or restart."""
    return respond(RUNBOOK, Request(site, incident or None, trust.trust, numbers))
