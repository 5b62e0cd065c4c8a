"""The ReplicaSet controller: as many active pods as wanted, and a status that says how many there are."""

from __future__ import annotations

import copy

from lab.kubernetes.client import PODS, REPLICA_SETS, ApiClient, ApiStatusError
from lab.kubernetes.controllers.ownership import claim
from lab.kubernetes.controllers.reconciling import WorkQueue
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.objects import (
    Object,
    controller_of,
    controller_reference,
    is_controlled_by,
    is_deleting,
    is_pod_active,
    is_pod_available,
    is_pod_ready,
    name_of,
    namespace_of,
)
from lab.kubernetes.selectors import LabelSelector

_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


class ReplicaSetController:
    def __init__(self, client: ApiClient, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self.queue = WorkQueue("replicaset", self._reconcile)
        self.replica_sets = Informer(client, REPLICA_SETS, lambda document: self.queue.add(NamespacedName.of(document)))
        self.pods = Informer(client, PODS, self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        owner = controller_of(pod)
        if owner is None:
            for replica_set in self.replica_sets.all(namespace_of(pod)):
                if LabelSelector.of(replica_set["spec"]["selector"]).matches(pod):
                    self.queue.add(NamespacedName.of(replica_set))
        elif owner["kind"] == "ReplicaSet":
            self.queue.add(NamespacedName(namespace_of(pod), owner["name"]))

    async def _reconcile(self, key: NamespacedName) -> None:
        replica_set = self.replica_sets.get(key)
        if replica_set is None or is_deleting(replica_set):
            return
        pods = self.pods.all(namespace_of(replica_set))
        active = await claim(self._client, PODS, self.pods, replica_set, filter(is_pod_active, pods))
        missing = replica_set["spec"]["replicas"] - len(active)
        for _ in range(missing):
            await self._create_pod(replica_set)
        for pod in sorted(active, key=_survival_rank)[: max(0, -missing)]:
            await self._delete_pod(replica_set, pod)
        await self._report(replica_set)

    def _active_pods(self, replica_set: Object) -> list[Object]:
        pods = self.pods.all(namespace_of(replica_set))
        return [pod for pod in pods if is_controlled_by(pod, replica_set) and is_pod_active(pod)]

    async def _create_pod(self, replica_set: Object) -> None:
        template = copy.deepcopy(replica_set["spec"]["template"])
        metadata = {
            "generateName": f"{name_of(replica_set)}-",
            "labels": template["metadata"].get("labels", {}),
            "annotations": template["metadata"].get("annotations", {}),
            "ownerReferences": [controller_reference(replica_set)],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        try:
            created = await self._client.create(PODS.path(namespace_of(replica_set)), pod)
        except ApiStatusError as error:
            self._events.warning(replica_set, "FailedCreate", f"Error creating: {error}")
            raise
        self.pods.observe(created)
        self._events.normal(replica_set, "SuccessfulCreate", f"Created pod: {name_of(created)}")

    async def _delete_pod(self, replica_set: Object, pod: Object) -> None:
        try:
            deleted = await self._client.delete(PODS.path_of(pod), {"preconditions": {"uid": pod["metadata"]["uid"]}})
        except ApiStatusError as error:
            if error.code != 404:
                raise
            deleted = {}
        if deleted.get("kind") == "Pod" and deleted["metadata"].get("deletionGracePeriodSeconds"):
            self.pods.observe(deleted)
        else:
            self.pods.forget(pod)
        self._events.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    async def _report(self, replica_set: Object) -> None:
        pods = self._active_pods(replica_set)
        min_ready = replica_set["spec"].get("minReadySeconds", 0)
        ready = [pod for pod in pods if is_pod_ready(pod)]
        available = [pod for pod in ready if is_pod_available(pod, min_ready)]
        counts = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": len(ready),
            "availableReplicas": len(available),
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        if len(available) < len(ready):
            self.queue.add_after(NamespacedName.of(replica_set), 1.0)
        status = {name: count for name, count in counts.items() if count or name == "replicas"}
        if status == {name: value for name, value in replica_set.get("status", {}).items() if name != "conditions"}:
            return
        path = REPLICA_SETS.path_of(replica_set, "status")
        self.replica_sets.observe(await self._client.replace(path, {**replica_set, "status": status}))


def _survival_rank(pod: Object) -> tuple[bool, int, bool, int, str]:
    """Whoever comes first is deleted first: not yet placed, not running, not ready, often restarted, youngest."""
    status = pod.get("status", {})
    restarts = sum(int(each.get("restartCount", 0)) for each in status.get("containerStatuses") or ())
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASE_ORDER.get(status.get("phase", ""), 0),
        is_pod_ready(pod),
        -restarts,
        "".join(chr(255 - ord(letter)) for letter in pod["metadata"]["creationTimestamp"]),
    )
