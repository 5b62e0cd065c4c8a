"""The node object: registration, heartbeat, and the place of the metrics API in a cluster that aggregates APIs."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from dataclasses import dataclass

from lab.kubernetes import timestamps
from lab.kubernetes.client import NODES, STRATEGIC_MERGE_PATCH, ApiClient, ApiStatusError, ApiUnreachableError
from lab.kubernetes.objects import Object

_HEARTBEAT = 10.0
_VERSION = "v1.32.0-lab"
_RESOURCE_VERSION_OF_METRICS = "v1beta1"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Node:
    """What this kubelet tells about itself. `cpu` and `memory` are quantities; the port is the kubelet's own."""

    name: str
    port: int
    cpu: str
    memory: str
    max_pods: int

    def document(self) -> Object:
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}, "spec": {}}

    def status(self) -> Object:
        amounts = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.max_pods)}
        pressures = (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        )
        conditions = [_condition(kind, "False", reason, message) for kind, reason, message in pressures]
        return {
            "conditions": [*conditions, _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self.name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            "capacity": amounts,
            "allocatable": amounts,
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "process://1",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": _VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": f"processes of {os.uname().nodename}",
                "systemUUID": "",
            },
        }


async def register(client: ApiClient, node: Node) -> None:
    """Creates the node, or takes over the one of the same name, and makes it ready. Raises the client's errors."""
    try:
        await client.create(NODES.path(), node.document())
    except ApiStatusError as error:
        if error.code != 409:
            raise
    await _post_status(client, node)
    await _register_metrics(client, node)


async def keep_alive(client: ApiClient, node: Node) -> None:
    """Posts the node's status every ten seconds, for ever; a node that was deleted is registered again."""
    while True:
        await asyncio.sleep(_HEARTBEAT)
        try:
            await _post_status(client, node)
        except ApiUnreachableError as error:
            _log.info("heartbeat: %s", error)
        except ApiStatusError as error:
            _log.warning("heartbeat: %s", error)
            if error.code == 404:
                await register(client, node)


async def _post_status(client: ApiClient, node: Node) -> None:
    path = NODES.path(name=node.name, subresource="status")
    await client.patch(path, {"status": node.status()}, STRATEGIC_MERGE_PATCH)


async def _register_metrics(client: ApiClient, node: Node) -> None:
    """A kube-apiserver forwards `metrics.k8s.io` to this kubelet; the lab's own does so without being told."""
    groups = await client.get("/apis")
    if not any(group["name"] == "apiregistration.k8s.io" for group in groups["groups"]):
        return
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "lab-metrics", "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": node.port}]},
    }
    name = f"{_RESOURCE_VERSION_OF_METRICS}.metrics.k8s.io"
    api_service: Object = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {
            "group": "metrics.k8s.io",
            "version": _RESOURCE_VERSION_OF_METRICS,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "lab-metrics", "namespace": "kube-system", "port": node.port},
        },
    }
    await _create_or_update(client, "/api/v1/namespaces/kube-system/services", service)
    await _create_or_update(client, "/apis/apiregistration.k8s.io/v1/apiservices", api_service)


async def _create_or_update(client: ApiClient, collection: str, document: Object) -> None:
    try:
        await client.create(collection, document)
    except ApiStatusError as error:
        if error.code != 409:
            raise
        await client.patch(f"{collection}/{document['metadata']['name']}", {"spec": document["spec"]})


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    present = timestamps.seconds()
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": present}
