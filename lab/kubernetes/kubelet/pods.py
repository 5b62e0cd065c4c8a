"""One pod on this node: its address, its containers, and the status that the API shows."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from lab.kubernetes import timestamps
from lab.kubernetes.client import PODS, STRATEGIC_MERGE_PATCH, ApiClient, ApiStatusError, ApiUnreachableError
from lab.kubernetes.kubelet.addresses import AddressPool
from lab.kubernetes.kubelet.containers import Container, Runtime
from lab.kubernetes.objects import Object, condition, name_of, uid_of

_RETRY = 0.5
_log = logging.getLogger(__name__)


class Pod:
    """Runs a pod from its binding to its removal."""

    def __init__(self, client: ApiClient, runtime: Runtime, addresses: AddressPool, folder: Path, pod: Object) -> None:
        self.document = pod
        self._client = client
        self._runtime = runtime
        self._addresses = addresses
        self._folder = folder / uid_of(pod)
        self._address = addresses.take()
        self._since = timestamps.seconds()
        self._changed = asyncio.Event()
        self._grace: float | None = None
        self._told_to_end = asyncio.Event()
        self._conditions: dict[str, Object] = {}
        self.containers = [
            Container(runtime, pod, spec, self._address, self._folder, self._changed.set)
            for spec in pod["spec"]["containers"]
        ]

    def container(self, name: str) -> Container | None:
        return next((each for each in self.containers if each.name == name), None)

    def end(self, grace: float) -> None:
        """Begins to stop the pod; a later call can only shorten the grace (in seconds)."""
        if self._grace is not None and grace >= self._grace:
            return
        if self._grace is None:
            for container in self.containers:
                if container.is_running:
                    self._runtime.events.normal(self.document, "Killing", f"Stopping container {container.name}")
        self._grace = grace
        self._told_to_end.set()
        for container in self.containers:
            container.stop(grace)

    async def run(self) -> None:
        """Runs the containers, and removes the pod from the API when it was told to end."""
        reporter = asyncio.create_task(self._report_changes())
        try:
            if self._grace is None:
                async with asyncio.TaskGroup() as group:
                    for container in self.containers:
                        group.create_task(container.run())
            self._changed.set()
            # A finished pod (restartPolicy Never) stays as it is until somebody deletes it.
            await self._told_to_end.wait()
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)
            self._addresses.give_back(self._address)
        await self._remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _report_changes(self) -> None:
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._report()
            except ApiUnreachableError as error:
                _log.info("status of %s: %s", name_of(self.document), error)
                await asyncio.sleep(_RETRY)
                self._changed.set()
            except ApiStatusError as error:
                # Gone, or another one of the same name: nobody wants to know any more.
                if error.code not in (404, 409):
                    _log.warning("status of %s: %s", name_of(self.document), error)

    async def _report(self) -> None:
        changes = {"metadata": {"uid": uid_of(self.document)}, "status": self._status()}
        await self._client.patch(PODS.path_of(self.document, "status"), changes, STRATEGIC_MERGE_PATCH)

    async def _remove(self) -> None:
        """Reports the last state and takes the pod out of the API. Tries until the API has answered."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(self.document)}}
        while True:
            try:
                await self._report()
                await self._client.delete(PODS.path_of(self.document), options)
                return
            except ApiStatusError as error:
                if error.code in (404, 409):
                    return
                _log.warning("removal of %s: %s", name_of(self.document), error)
            except ApiUnreachableError as error:
                _log.info("removal of %s: %s", name_of(self.document), error)
            await asyncio.sleep(_RETRY)

    def _status(self) -> Object:
        phase = _phase(self.containers, self.document["spec"].get("restartPolicy", "Always"))
        unready = [container.name for container in self.containers if not container.ready]
        finished = phase in ("Succeeded", "Failed")
        reason = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"
        why = (
            {"reason": reason, **({} if finished and phase == "Succeeded" else {"message": message})} if unready else {}
        )
        conditions = [
            self._condition("Initialized", True, {}),
            self._condition("Ready", not unready, why),
            self._condition("ContainersReady", not unready, why),
            self._condition("PodScheduled", True, {}),
        ]
        return {
            "phase": phase,
            "conditions": conditions,
            "hostIP": "127.0.0.1",
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "startTime": self._since,
            "containerStatuses": [_container_status(container, uid_of(self.document)) for container in self.containers],
        }

    def _condition(self, kind: str, holds: bool, why: Object) -> Object:
        """The transition time changes with the status only."""
        before = self._conditions.get(kind) or condition(self.document, kind)
        status = str(holds)
        same = before is not None and before["status"] == status
        since = before["lastTransitionTime"] if same and before else timestamps.seconds()
        # A strategic merge keeps what a patch leaves out, so what ceased to hold is named as null.
        explained = why or {"reason": None, "message": None}
        self._conditions[kind] = {"type": kind, "status": status, "lastTransitionTime": since, **explained}
        return self._conditions[kind]


def _phase(containers: list[Container], restart_policy: str) -> str:
    if any("waiting" in each.state and not each.last_state for each in containers):
        return "Pending"
    ended = [each.state["terminated"]["exitCode"] for each in containers if "terminated" in each.state]
    if restart_policy == "Always" or len(ended) < len(containers):
        return "Running"
    if restart_policy == "OnFailure" and any(ended):
        return "Running"
    return "Failed" if any(ended) else "Succeeded"


def _container_status(container: Container, pod_uid: str) -> Object:
    status: Object = {
        "name": container.name,
        "image": container.spec.get("image", ""),
        "imageID": "",
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": container.state,
    }
    if container.last_state:
        status["lastState"] = container.last_state
    if "waiting" not in container.state or container.last_state:
        status["containerID"] = f"process://{pod_uid}/{container.name}/{container.restarts}"
    return status
