"""The pods of this node: starts, ends and forgets them as the API says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from lab.kubernetes.client import ApiClient
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.kubelet.addresses import AddressPool
from lab.kubernetes.kubelet.containers import Runtime
from lab.kubernetes.kubelet.pods import Pod
from lab.kubernetes.objects import Object, is_deleting, name_of, uid_of

_SHUTDOWN_GRACE = 5.0
_log = logging.getLogger(__name__)


class Kubelet:
    def __init__(
        self, client: ApiClient, runtime: Runtime, informer: Informer, addresses: AddressPool, root: Path, node: str
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._informer = informer
        self._addresses = addresses
        self._root = root
        self._node = node
        self._pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        informer.subscribe(self._changed)

    def pods(self) -> list[Pod]:
        return list(self._pods.values())

    def _changed(self, document: Object) -> None:
        if document["spec"].get("nodeName") != self._node:
            return
        uid = uid_of(document)
        current = self._informer.get(NamespacedName.of(document))
        gone = current is None or uid_of(current) != uid
        pod = self._pods.get(uid)
        if pod is None and not gone and (is_deleting(document) or not _is_finished(document)):
            pod = self._begin(document)
        if pod is None:
            return
        pod.document = document
        if gone:
            # Deleted without grace: nobody waits for it any more.
            pod.end(0.0)
        elif is_deleting(document):
            pod.end(float(document["metadata"].get("deletionGracePeriodSeconds", 30)))

    def _begin(self, document: Object) -> Pod | None:
        uid = uid_of(document)
        try:
            pod = self._pods[uid] = Pod(self._client, self._runtime, self._addresses, self._root, document)
        except LookupError as error:
            self._runtime.events.warning(document, "FailedCreatePodSandBox", str(error))
            return None
        task = self._tasks[uid] = asyncio.create_task(pod.run())
        task.add_done_callback(lambda done: self._finished(uid, done))
        return pod

    def _finished(self, uid: str, task: asyncio.Task[None]) -> None:
        pod = self._pods.pop(uid)
        self._tasks.pop(uid)
        if not task.cancelled() and task.exception() is not None:
            _log.error("pod %s failed in the kubelet", name_of(pod.document), exc_info=task.exception())

    async def shut_down(self) -> None:
        """Ends all processes, by force after five seconds. The API keeps the pods: a new kubelet runs them again."""
        for pod in self.pods():
            for container in pod.containers:
                container.stop(_SHUTDOWN_GRACE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_GRACE + 1.0):
                for pod in self.pods():
                    for container in pod.containers:
                        await container.ended.wait()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_finished(document: Object) -> bool:
    return document.get("status", {}).get("phase") in ("Succeeded", "Failed")
