"""What several runbooks of the message bus change: numbers of pods, and workers per pod.

A reading that could not be had raises `UnknownReading` where a change rests on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.message_bus import probes
from flows.message_bus.platform import MessageBus
from tasks.claims import Claiming
from tasks.model.change import Change
from tasks.model.claim import Bound, Claim
from tasks.model.decision import Step
from tasks.model.evidence import Unknown, UnknownReading
from tasks.systems.kubernetes.config import EnvSetting, Restart
from tasks.systems.kubernetes.scaling import DeploymentReplicas, replica_knob


def replicas(
    bus: MessageBus, pods: probes.Replicas | Unknown, deployment: str, claim: Claim, restore: str, asks: str = ""
) -> Change:
    """At least, or at most, so many pods: through the autoscaler where there is one (D001, D002)."""
    quiet = bus.requeues_on_stop or deployment in bus.pausable
    knob = replica_knob(bus.cluster(), deployment, pods.wanted, pods.autoscaler, claim, quiet=quiet)
    return Claiming(knob, claim, restore, asks)


def pause(bus: MessageBus, deployment: str, restore: str) -> Change:
    """No pods of an event source: the one number that an autoscaler does not undo (D002), so none is looked for."""
    knob = DeploymentReplicas(bus.cluster(), deployment, quiet=True)
    return Claiming(knob, Claim(Bound.AT_MOST, 0), silent(bus, restore), asks=f"events of {deployment} are delayed")


def silent(bus: MessageBus, restore: str) -> str:
    """When an event source comes back, and which alerts are held back until then."""
    alerts = bus.paused_sources.alerts
    return f"{restore}; alerts held back until then: {', '.join(alerts)}" if alerts else restore


def pool_size(bus: MessageBus, size: probes.PoolSize | Unknown, claim: Claim, restore: str) -> Step:
    """At least so many workers per pod, in the one place that holds the number, and the rollout that makes pods read it
    (D003, D004, D005)."""
    knob = bus.pool_size_knob(size.holder)
    setting = Claiming(knob, claim, restore, _asks_before_a_rollout(bus))
    return (setting,) if knob.rolls_out else (setting, _restart(bus, knob, size))


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a bundle would do, and why, or why not."""

    steps: tuple[Step, ...]
    says: str


@dataclass(frozen=True, slots=True)
class Growth:
    """Bigger pools: what new pods need to come up with them, and the rollout that brings them to the old ones."""

    setting: tuple[Step, ...]
    rollout: tuple[Step, ...]
    says: str


def more_pods(bus: MessageBus, pods: probes.Replicas | Unknown, goal: int, restore: str) -> Part:
    """At least so many orchestration pods, as far as the site allows."""
    goal = min(goal, bus.replica_ceiling)
    try:
        if pods.wanted >= goal:
            return Part((), f"{pods.wanted} replicas run already, at least {goal} were wanted")
        change = replicas(bus, pods, bus.orchestration, Claim(Bound.AT_LEAST, goal), restore)
    except UnknownReading as unknown:
        return Part((), f"how many pods there are cannot be told: {unknown}")
    return Part(((change,),), f"{pods.wanted} replicas run, at least {goal} are wanted")


def bigger_pools(
    bus: MessageBus,
    pool: probes.WorkerPool | Unknown,
    size: probes.PoolSize | Unknown,
    redis: probes.RedisAnswer | Unknown,
    goal: int,
    restore: str,
    *,
    pods_come: bool,
    load: probes.Load | Unknown | None = None,
) -> Growth:
    """At least so many workers in every pod, as far as the site allows, with one rollout (D005).

    Where new pods are about to come (`pods_come`) the setting is a step of its own, to be made before them: they come
    up with it, and it helps even if the rollout of the old ones is refused or waits. Else setting and rollout make
    sense only together. Where the setting is an entry of the Deployment itself, writing it is the rollout. With `load`
    the pods' CPU and memory have to carry it.
    """
    goal = min(goal, bus.worker_ceiling)
    claim = Claim(Bound.AT_LEAST, goal)
    try:
        small = pool.smallest_pool < goal
        if not small and (size.configured >= goal or not pods_come):
            return Growth(
                (), (), f"every pod has {pool.smallest_pool:.0f} workers already, at least {goal} were wanted"
            )
        if load is not None and (why_not := _no_room(bus, pool.smallest_pool, goal, load)):
            return Growth((), (), why_not)
        _ = redis.milliseconds  # without Redis the new pods of a rollout would not come up
        knob = bus.pool_size_knob(size.holder)
        says = f"the smallest pool has {pool.smallest_pool:.0f} workers, at least {goal} are wanted"
        if knob.rolls_out or not pods_come:
            return Growth((), (pool_size(bus, size, claim, restore),), says)
        rollout: tuple[Step, ...] = ((_restart(bus, knob, size),),) if small else ()
        return Growth(((Claiming(knob, claim, restore),),), rollout, says)
    except UnknownReading as unknown:
        return Growth((), (), f"whether pools may grow cannot be told: {unknown}")


def _no_room(bus: MessageBus, size: float, goal: int, load: probes.Load | Unknown) -> str:
    """Why the pods could not carry so many workers, or the empty string."""
    if not size:
        raise UnknownReading("a pod has no workers at all, so what more of them would need cannot be told")
    need = load.grown(max(1.0, goal / size))
    return f"with {goal} workers per pod it would be: {need}" if need.highest > bus.load_at_most else ""


def _restart(bus: MessageBus, knob: EnvSetting, size: probes.PoolSize | Unknown) -> Restart:
    asks = _asks_before_a_rollout(bus)
    return Restart(bus.cluster(), bus.orchestration, f"to read {knob.name}", size.read_at, asks=asks)


def _asks_before_a_rollout(bus: MessageBus) -> str:
    return "" if bus.requeues_on_stop else "it is not confirmed that a stopping pod gives its tasks back"
