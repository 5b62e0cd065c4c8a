"""The message bus platform as a whole: put into a cluster, measured, broken, and mended."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from redis.exceptions import RedisError

from lab import plain_http
from lab.cluster import Cluster
from lab.kubernetes.objects import Object
from lab.message_bus import manifests
from lab.message_bus.connection import text
from lab.message_bus.control import CONTROL_KEY, Control
from lab.message_bus.events import EVENT_QUEUE
from lab.message_bus.faults import Fault
from lab.message_bus.orchestration import scripts, store
from lab.model import GroundError, Workload

# What is pending on a normal day is less than this.
AT_REST_DEPTH = 50
REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"


@dataclass(frozen=True)
class PoolUse:
    """The worker pool of one pod."""

    active: int
    size: int


class MessageBus:
    """The platform in a cluster, with its Redis. Methods raise GroundError when one of them cannot be reached."""

    def __init__(self, cluster: Cluster, redis_url: str, audit_log: Path) -> None:
        """Connect lazily."""
        self._cluster = cluster
        self._redis = Redis.from_url(redis_url, decode_responses=True, socket_timeout=5)
        self._orchestration = manifests.orchestration(redis_url, audit_log)
        self._publishers = manifests.publishers(redis_url)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def deploy(self) -> None:
        """Put the platform into the empty cluster."""
        self._cluster.create(manifests.namespace())
        self._cluster.create(manifests.orchestration_config())
        self._cluster.create(manifests.orchestration_service())
        for deployment in self._deployments():
            self._cluster.create(deployment)
        self._cluster.create(manifests.orchestration_autoscaler())

    def change_world(self, fault: Fault) -> None:
        """Begin a fault: what is different around the platform from now on."""
        for patch in fault.patches:
            self._cluster.patch(patch.manifest, patch.changes)
        with _redis_answers():
            self._redis.hset(CONTROL_KEY, items=[word for field in fault.control.fields().items() for word in field])

    def knows(self, control: Control) -> bool:
        """Whether every pod has noticed how the system downstream is."""
        with _redis_answers():
            seen = [self._redis.get(store.heartbeat_of(pod)) for pod in map(text, self._redis.smembers(store.PODS))]
        return all(state in (None, control.downstream.value) for state in seen)  # None: that pod is gone.

    def send_burst(self, fault: Fault) -> None:
        """Go on with a fault: the events that arrive all at once."""
        if events := fault.burst.events():
            with _redis_answers():
                self._redis.lpush(EVENT_QUEUE, *(event.encode() for event in events))

    def calm(self) -> None:
        """End what goes on in the world outside; what anybody changed in the cluster stays."""
        with _redis_answers():
            self._redis.delete(CONTROL_KEY)

    def heal(self) -> None:
        """Take back every fault, and every change that anybody made; the pods may take a while to follow."""
        with _redis_answers():
            self._redis.delete(CONTROL_KEY)
            tasks = [store.QUEUE, store.WAITING, store.TASKS, store.DEPENDENCIES, store.CANCELLED]
            self._redis.register_script(scripts.DRAIN)([*tasks, EVENT_QUEUE, store.DEAD_LETTERS, store.PODS])
        self._cluster.delete_all("PodDisruptionBudget", manifests.NAMESPACE)  # We bring none.
        # Anew, because an autoscaler remembers for minutes how many pods it once held for right.
        self._cluster.recreate(manifests.orchestration_autoscaler())
        self._cluster.replace(manifests.orchestration_config())
        self._cluster.replace(manifests.orchestration_service())
        for deployment in self._deployments():
            self._restore(deployment)
        self.restart_outdated()

    def restart_outdated(self) -> None:
        """Restart the service if a pod has another configuration than it should: it is read at the start only."""
        if any(pool.size != manifests.POOL_SIZE for pool in self._pools()):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            annotations = {"metadata": {"annotations": {RESTARTED: now}}}
            self._cluster.patch(self._orchestration, {"spec": {"template": annotations}})

    def started(self) -> bool:
        """Whether every pod is there and ready."""
        return all(self._cluster.settled(deployment) for deployment in self._deployments())

    def at_rest(self) -> bool:
        """Whether the platform is as on a normal day."""
        if not (self.started() and self.knows(Control()) and self._nothing_to_cancel()):
            return False
        depth, pools = self.queue_depth(), self._pools()
        workers = [pool.size for pool in pools]
        return depth is not None and depth < AT_REST_DEPTH and workers == [manifests.POOL_SIZE] * len(workers)

    def workloads(self) -> tuple[Workload, ...]:
        """How the deployments are doing."""
        return tuple(self._cluster.workload(deployment) for deployment in self._deployments())

    def queue_depth(self) -> int | None:
        """Tasks pending; None when Redis does not answer."""
        try:
            return int(self._redis.llen(store.QUEUE)) + int(self._redis.scard(store.WAITING))
        except RedisError:
            return None

    def utilisation(self) -> float | None:
        """Busy workers as a share of all workers; None when no pod answers."""
        pools = self._pools()
        return sum(pool.active for pool in pools) / sum(pool.size for pool in pools) if pools else None

    def _nothing_to_cancel(self) -> bool:
        with _redis_answers():
            return self._redis.scard(store.CANCELLED) == 0

    def _deployments(self) -> tuple[Object, ...]:
        return self._orchestration, *self._publishers

    def _restore(self, deployment: Object) -> None:
        """Take changes back, but for the mark of a restart: to undo that is another restart."""
        wanted, live = copy.deepcopy(deployment), self._cluster.find(deployment)
        if live is not None:
            for there, here in ((live, wanted), (live["spec"]["template"], wanted["spec"]["template"])):
                annotations = there["metadata"].get("annotations", {}).items()
                kept = {name: value for name, value in annotations if name in (REVISION, RESTARTED)}
                here["metadata"]["annotations"] = {**here["metadata"].get("annotations", {}), **kept}
        self._cluster.replace(wanted)

    def _pools(self) -> list[PoolUse]:
        return list(self._read_pools())

    def _read_pools(self) -> Iterator[PoolUse]:
        for pod in self._cluster.ready_pods(self._orchestration):
            page = plain_http.get(f"http://{pod.address}:{manifests.PORT}/metrics")
            if page is None:
                continue  # It is going away; it says nothing about the others.
            gauges = {
                family.name: int(family.samples[0].value)
                for family in text_string_to_metric_families(page)
                if family.name.startswith("orchestration_worker_pool_")
            }
            yield PoolUse(gauges["orchestration_worker_pool_active"], gauges["orchestration_worker_pool_max"])


@contextmanager
def _redis_answers() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise GroundError(f"Redis does not answer: {error}") from error
