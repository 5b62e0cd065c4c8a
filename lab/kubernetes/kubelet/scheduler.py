"""The scheduler of a cluster with one node: binds a pod when the node has room for its requests."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

from lab.kubernetes import quantities, timestamps
from lab.kubernetes.client import NODES, PODS, ApiClient, ApiStatusError, ApiUnreachableError
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.objects import Object, condition, is_deleting, name_of, namespace_of

_LOOK_AGAIN = 1.0
_log = logging.getLogger(__name__)


class Scheduler:
    def __init__(self, client: ApiClient, events: EventRecorder, pods: Informer, node: str) -> None:
        self._client = client
        self.events = events
        self._pods = pods
        self._node = node
        self._waiting: dict[NamespacedName, None] = {}
        self._changed = asyncio.Event()
        pods.subscribe(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        key = NamespacedName.of(pod)
        if self._pods.get(key) is not None and _is_unbound(pod):
            self._waiting[key] = None
            self._changed.set()

    async def run(self) -> None:
        """Binds pods as they appear, and looks again each second at those that found no room, for ever."""
        while True:
            self._changed.clear()
            for key in list(self._waiting):
                try:
                    if await self._schedule(key):
                        self._waiting.pop(key, None)
                except (ApiStatusError, ApiUnreachableError) as error:
                    _log.info("scheduling %s: %s", key, error)
            try:
                await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN if self._waiting else None)
            except TimeoutError:
                continue

    async def _schedule(self, key: NamespacedName) -> bool:
        """True when there is nothing left to do for that pod."""
        pod = self._pods.get(key)
        if pod is None or not _is_unbound(pod):
            return True
        node = await self._client.get(NODES.path(name=self._node))
        obstacle = self._obstacle(node, pod)
        if obstacle:
            await self._report_unschedulable(pod, f"0/1 nodes are available: 1 {obstacle}.")
            return False
        target = {"apiVersion": "v1", "kind": "Node", "name": self._node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name_of(pod)}, "target": target}
        try:
            await self._client.create(PODS.path_of(pod, "binding"), binding)
        except ApiStatusError as error:
            if error.code not in (404, 409):
                raise
            return True
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {self._node}"
        self.events.normal(pod, "Scheduled", message)
        # Until the watch says so, too: the next pod must not be given the same room.
        self._pods.observe({**pod, "spec": {**pod["spec"], "nodeName": self._node}})
        return True

    def _obstacle(self, node: Object, pod: Object) -> str | None:
        if node["spec"].get("unschedulable"):
            return "node(s) were unschedulable"
        here = [
            each for each in self._pods.all() if each["spec"].get("nodeName") == self._node and not _is_finished(each)
        ]
        allocatable = node["status"]["allocatable"]
        if len(here) >= int(allocatable["pods"]):
            return "Too many pods"
        for resource in ("cpu", "memory"):
            used = sum((_request(each, resource) for each in here), Decimal(0))
            if used + _request(pod, resource) > quantities.parse(allocatable[resource]):
                return f"Insufficient {resource}"
        return None

    async def _report_unschedulable(self, pod: Object, message: str) -> None:
        known = condition(pod, "PodScheduled")
        if known is not None and known.get("message") == message:
            return
        self.events.warning(pod, "FailedScheduling", message)
        unscheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": timestamps.seconds(),
        }
        answer = await self._client.patch(PODS.path_of(pod, "status"), {"status": {"conditions": [unscheduled]}})
        self._pods.observe(answer)


def _is_unbound(pod: Object) -> bool:
    return not pod["spec"].get("nodeName") and not is_deleting(pod)


def _is_finished(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _request(pod: Object, resource: str) -> Decimal:
    requests = [
        (each.get("resources", {}).get("requests") or {}).get(resource, "0") for each in pod["spec"]["containers"]
    ]
    return sum((quantities.parse(each) for each in requests), Decimal(0))
