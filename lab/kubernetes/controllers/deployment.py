"""The Deployment controller: one ReplicaSet for each template, and rolling updates between them."""

from __future__ import annotations

from lab.kubernetes.client import DEPLOYMENTS, REPLICA_SETS, ApiClient, ApiStatusError
from lab.kubernetes.controllers import revisions
from lab.kubernetes.controllers.deployment_status import is_complete, seconds_until_deadline, status_of
from lab.kubernetes.controllers.ownership import claim
from lab.kubernetes.controllers.reconciling import WorkQueue
from lab.kubernetes.controllers.rollout import Generation, Limits, new_size, old_sizes
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.objects import Object, controller_of, is_controlled_by, is_deleting, name_of, namespace_of


class DeploymentController:
    def __init__(self, client: ApiClient, events: EventRecorder, pods: Informer, replica_sets: Informer) -> None:
        self._client = client
        self._events = events
        self._pods = pods
        self._replica_sets = replica_sets
        self.queue = WorkQueue("deployment", self._reconcile)
        self.deployments = Informer(client, DEPLOYMENTS, lambda document: self.queue.add(NamespacedName.of(document)))
        pods.subscribe(self._pod_changed)
        replica_sets.subscribe(self._replica_set_changed)

    def _replica_set_changed(self, replica_set: Object) -> None:
        owner = controller_of(replica_set)
        if owner is not None and owner["kind"] == "Deployment":
            self.queue.add(NamespacedName(namespace_of(replica_set), owner["name"]))

    def _pod_changed(self, pod: Object) -> None:
        """The strategy Recreate waits for pods to be gone, which their ReplicaSet's status does not tell."""
        owner = controller_of(pod)
        if is_deleting(pod) and owner is not None:
            replica_set = self._replica_sets.get(NamespacedName(namespace_of(pod), owner["name"]))
            if replica_set is not None:
                self._replica_set_changed(replica_set)

    async def _reconcile(self, key: NamespacedName) -> None:
        deployment = self.deployments.get(key)
        if deployment is None or is_deleting(deployment):
            return
        before = await self._owned(deployment)
        new = next((each for each in before if revisions.is_of_template(each, deployment)), None)
        created = False
        if deployment["spec"].get("paused"):
            await self._scale_while_paused(deployment, before)
        else:
            old = [each for each in before if each is not new]
            waiting = deployment["spec"]["strategy"]["type"] == "Recreate" and await self._remove_old(deployment, old)
            if not waiting:
                created = new is None
                new = await self._current(deployment, new, old)
                deployment = await self._number(deployment, new)
                await self._roll(deployment, new, old)
        owned = await self._owned(deployment)
        new = next((each for each in owned if revisions.is_of_template(each, deployment)), None)
        await self._report(deployment, new, owned, created)

    async def _owned(self, deployment: Object) -> list[Object]:
        """The Deployment's ReplicaSets, oldest revision first."""
        present = [each for each in self._replica_sets.all(namespace_of(deployment)) if not is_deleting(each)]
        owned = await claim(self._client, REPLICA_SETS, self._replica_sets, deployment, present)
        return sorted(owned, key=revisions.revision)

    async def _current(self, deployment: Object, new: Object | None, old: list[Object]) -> Object:
        """The ReplicaSet of the present template under the highest revision, created when there is none."""
        number = max((revisions.revision(each) for each in old), default=0) + 1
        surge = Limits.of(deployment).max_surge
        if new is None:
            wanted = revisions.new_replica_set(deployment, number, surge)
            new = await self._client.create(REPLICA_SETS.path(namespace_of(deployment)), wanted)
        else:
            present = new["metadata"].get("annotations") or {}
            wanted_annotations = revisions.revision_annotations(present, deployment, number, surge)
            if wanted_annotations == present:
                return new
            path = REPLICA_SETS.path_of(new)
            new = await self._client.patch(path, {"metadata": {"annotations": wanted_annotations}})
        self._replica_sets.observe(new)
        return new

    async def _number(self, deployment: Object, new: Object) -> Object:
        """The Deployment carries the revision of its present template."""
        number = revisions.revision(new)
        if revisions.revision(deployment) == number:
            return deployment
        changes = {"metadata": {"annotations": {revisions.REVISION: str(number)}}}
        updated = await self._client.patch(DEPLOYMENTS.path_of(deployment), changes)
        self.deployments.observe(updated)
        return updated

    async def _roll(self, deployment: Object, new: Object, old: list[Object]) -> None:
        """One step of the rolling update; the next one follows when pods have become ready or gone."""
        wanted, limits = deployment["spec"]["replicas"], Limits.of(deployment)
        active = [each for each in old if each["spec"]["replicas"] or each.get("status", {}).get("replicas")]
        others = [_generation(each) for each in active]
        size = new_size(wanted, limits, _generation(new), others)
        new = await self._scale(deployment, new, size)
        for replica_set, fewer in zip(active, old_sizes(wanted, limits, _generation(new), others), strict=True):
            await self._scale(deployment, replica_set, fewer)

    async def _remove_old(self, deployment: Object, old: list[Object]) -> bool:
        """The strategy Recreate: no new pod before every old one is gone. True while there are some."""
        for replica_set in old:
            await self._scale(deployment, replica_set, 0)
        return any(is_controlled_by(pod, each) for each in old for pod in self._pods.all(namespace_of(deployment)))

    async def _scale_while_paused(self, deployment: Object, owned: list[Object]) -> None:
        """A paused Deployment does not roll, but follows its replicas, by its newest active ReplicaSet."""
        active = [each for each in owned if each["spec"]["replicas"]] or owned[-1:]
        if active:
            others = sum(each["spec"]["replicas"] for each in active[:-1])
            await self._scale(deployment, active[-1], max(0, deployment["spec"]["replicas"] - others))

    async def _scale(self, deployment: Object, replica_set: Object, size: int) -> Object:
        present = replica_set["spec"]["replicas"]
        if size == present:
            return replica_set
        notes = revisions.scale_annotations(deployment, Limits.of(deployment).max_surge)
        changes = {
            "metadata": {"annotations": notes, "resourceVersion": replica_set["metadata"]["resourceVersion"]},
            "spec": {"replicas": size},
        }
        updated = await self._client.patch(REPLICA_SETS.path_of(replica_set), changes)
        self._replica_sets.observe(updated)
        direction = "up" if size > present else "down"
        message = f"Scaled {direction} replica set {name_of(replica_set)} from {present} to {size}"
        self._events.normal(deployment, "ScalingReplicaSet", message)
        return updated

    async def _report(self, deployment: Object, new: Object | None, owned: list[Object], created: bool) -> None:
        status = status_of(deployment, new, owned, created)
        if status != deployment.get("status", {}):
            path = DEPLOYMENTS.path_of(deployment, "status")
            deployment = await self._client.replace(path, {**deployment, "status": status})
            self.deployments.observe(deployment)
        if is_complete(deployment, status):
            await self._forget_history(deployment, [each for each in owned if each is not new])
        look_again = seconds_until_deadline(deployment)
        if look_again is not None:
            self.queue.add_after(NamespacedName.of(deployment), look_again)

    async def _forget_history(self, deployment: Object, old: list[Object]) -> None:
        unused = [each for each in old if not each["spec"]["replicas"] and not each.get("status", {}).get("replicas")]
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        for replica_set in unused[: max(0, len(unused) - limit)]:
            try:
                await self._client.delete(REPLICA_SETS.path_of(replica_set))
            except ApiStatusError as error:
                if error.code != 404:
                    raise
            self._replica_sets.forget(replica_set)


def _generation(replica_set: Object) -> Generation:
    return Generation(replica_set["spec"]["replicas"], replica_set.get("status", {}).get("availableReplicas", 0))
