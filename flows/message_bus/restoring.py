"""When the claims of the task queue's runbooks are given back.

Source: "High Task Queue Depth" and "Critical Task Queue Depth": gradually, after the queue is below 500. Two documents'
sections name 500 and 200 for the same publisher; the stricter one would be 200 (catalogue, D059), and is a setting.
"""

from __future__ import annotations

from flows.message_bus import probes
from flows.message_bus.platform import MessageBus
from tasks.model.claim import Bound
from tasks.model.decision import GiveBack, Keep
from tasks.model.evidence import Unknown
from tasks.runbook import Release
from tasks.systems.kubernetes.scaling import MINIMUM


def when(below: int) -> str:
    """When a claim is given back, in words."""
    return f"once fewer than {below} tasks wait and what is left carries the load"


def judge(
    queue: probes.TaskQueue | Unknown,
    pool: probes.WorkerPool | Unknown,
    pods: probes.Replicas | Unknown,
    bus: MessageBus,
    release: Release,
    below: int,
) -> Keep | GiveBack:
    """Whether a claim is still needed: not when fewer than `below` tasks wait and what is left carries the load. Pure.

    Event sources come back one pod at a time, with a look at the queue in between (D059).

    Raises:
        UnknownReading: that cannot be told.
    """
    waiting = f"{queue.pending:.0f} tasks wait"
    if queue.pending >= below:
        return Keep(f"{waiting}, fewer than {below} must")
    if not pods.settled:
        return Keep("a rollout is in progress")
    if release.claim.claim.bound is Bound.AT_MOST:
        return GiveBack(f"{waiting}, fewer than {below}", step=1)
    share = _share_left(pods, release)
    if share >= 1:
        return GiveBack(f"{waiting}, and nothing gets smaller")
    load = pool.active / (pool.workers * share) if pool.workers else 1.0
    most = bus.high_task_queue_depth.utilisation_at_most  # the document's one statement on what is a healthy load
    if load > most:
        return Keep(f"what is left would be busy to {load:.0%}, at most {most:.0%} must be")
    return GiveBack(f"{waiting}, and what is left will be busy to {load:.0%}")


def _share_left(pods: probes.Replicas | Unknown, release: Release) -> float:
    """How much of the present workers is left after the release."""
    if MINIMUM in release.after:
        return release.after[MINIMUM] / max(1, int(pods.wanted))
    (after,), (before,) = release.after.values(), release.before.values()
    return after / max(1, before)
