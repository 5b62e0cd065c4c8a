"""The columns of `kubectl get` for each kind, after `k8s.io/kubernetes/pkg/printers/internalversion`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.kubernetes.apiserver.durations import age
from lab.kubernetes.objects import Object, is_deleting
from lab.kubernetes.selectors import LabelSelector

Cells = list[Any]
_NONE = "<none>"


@dataclass(frozen=True)
class Layout:
    """The columns in order, those that show only with `-o wide` named in `wide` too, and an object's cells for them."""

    names: tuple[str, ...]
    wide: tuple[str, ...]
    cells: Callable[[Object], Cells]


def layout(kind: str) -> Layout:
    return _LAYOUTS.get(kind, _PLAIN)


def _age(document: Object) -> str:
    return age(document["metadata"].get("creationTimestamp"))


def _status(document: Object, field: str) -> Any:
    return document.get("status", {}).get(field, 0)


def _pod(pod: Object) -> Cells:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    ready = sum(1 for each in statuses if each.get("ready"))
    restarts = sum(int(each.get("restartCount", 0)) for each in statuses)
    return [
        f"{ready}/{len(pod['spec']['containers'])}",
        _pod_reason(pod, statuses),
        str(restarts),
        _age(pod),
        pod["status"].get("podIP", _NONE),
        pod["spec"].get("nodeName", _NONE),
        _NONE,
        _NONE,
    ]


def _pod_reason(pod: Object, statuses: list[Object]) -> str:
    reason: str = pod["status"].get("reason") or pod["status"].get("phase", "Unknown")
    for each in statuses:
        state = each.get("state", {})
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated:
            reason = terminated.get("reason") or f"ExitCode:{terminated.get('exitCode', 0)}"
    return "Terminating" if is_deleting(pod) else reason


def _containers(spec: Object) -> Cells:
    containers = spec["template"]["spec"]["containers"]
    return [
        ",".join(container["name"] for container in containers),
        ",".join(container.get("image", "") for container in containers),
        str(LabelSelector.of(spec["selector"])) or _NONE,
    ]


def _deployment(deployment: Object) -> Cells:
    ready = f"{_status(deployment, 'readyReplicas')}/{deployment['spec']['replicas']}"
    counts = [_status(deployment, "updatedReplicas"), _status(deployment, "availableReplicas")]
    return [ready, *counts, _age(deployment), *_containers(deployment["spec"])]


def _replica_set(replica_set: Object) -> Cells:
    counts = [replica_set["spec"]["replicas"], _status(replica_set, "replicas"), _status(replica_set, "readyReplicas")]
    return [*counts, _age(replica_set), *_containers(replica_set["spec"])]


def _service(service: Object) -> Cells:
    spec = service["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ()) or _NONE
    selector = ",".join(f"{key}={value}" for key, value in (spec.get("selector") or {}).items()) or _NONE
    external = spec.get("externalName") or ",".join(spec.get("externalIPs") or ()) or _NONE
    return [spec.get("type"), spec.get("clusterIP", _NONE), external, ports, _age(service), selector]


def _endpoints(endpoints: Object) -> Cells:
    shown = [
        f"{address['ip']}:{port['port']}"
        for subset in endpoints.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    more = f" + {len(shown) - 3} more..." if len(shown) > 3 else ""
    return [",".join(shown[:3]) + more if shown else _NONE, _age(endpoints)]


def _config_map(config_map: Object) -> Cells:
    return [len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ()), _age(config_map)]


def _secret(secret: Object) -> Cells:
    return [secret.get("type"), len(secret.get("data") or ()), _age(secret)]


def _event(event: Object) -> Cells:
    involved = event["involvedObject"]
    last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    first = event.get("firstTimestamp") or last
    source = event.get("source", {})
    return [
        age(last),
        event.get("type"),
        event.get("reason"),
        f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        ", ".join(filter(None, (source.get("component"), source.get("host")))),
        str(event.get("message", "")).strip(),
        age(first),
        str(event.get("count", 1)),
        event["metadata"]["name"],
    ]


def _node(node: Object) -> Cells:
    conditions = {each["type"]: each["status"] for each in _status(node, "conditions") or ()}
    status = "Ready" if conditions.get("Ready") == "True" else "NotReady" if "Ready" in conditions else "Unknown"
    if node.get("spec", {}).get("unschedulable"):
        status += ",SchedulingDisabled"
    info = _status(node, "nodeInfo") or {}
    addresses = {each["type"]: each["address"] for each in _status(node, "addresses") or ()}
    wide = [info.get("osImage"), info.get("kernelVersion"), info.get("containerRuntimeVersion")]
    internal, external = addresses.get("InternalIP", _NONE), addresses.get("ExternalIP", _NONE)
    return [
        status,
        _NONE,
        _age(node),
        info.get("kubeletVersion", ""),
        internal,
        external,
        *(each or "<unknown>" for each in wide),
    ]


def _autoscaler(autoscaler: Object) -> Cells:
    spec = autoscaler["spec"]
    reference = f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"
    low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
    return [reference, _targets(autoscaler), low, high, _status(autoscaler, "currentReplicas"), _age(autoscaler)]


def _targets(autoscaler: Object) -> str:
    """`cpu: 43%/70%`; a version 1 object gives its numbers elsewhere."""
    spec, status = autoscaler["spec"], autoscaler.get("status", {})
    if "targetCPUUtilizationPercentage" in spec:
        pairs = [("cpu", status.get("currentCPUUtilizationPercentage"), spec["targetCPUUtilizationPercentage"])]
    else:
        current = {
            each["resource"]["name"]: each["resource"]["current"].get("averageUtilization")
            for each in status.get("currentMetrics") or ()
            if "resource" in each
        }
        pairs = [
            (
                each["resource"]["name"],
                current.get(each["resource"]["name"]),
                each["resource"]["target"].get("averageUtilization"),
            )
            for each in spec.get("metrics") or ()
            if "resource" in each
        ]
    return (
        ", ".join(f"{name}: {'<unknown>' if now is None else f'{now}%'}/{target}%" for name, now, target in pairs)
        or _NONE
    )


def _budget(budget: Object) -> Cells:
    spec = budget.get("spec", {})
    return [
        spec.get("minAvailable", "N/A"),
        spec.get("maxUnavailable", "N/A"),
        _status(budget, "disruptionsAllowed"),
        _age(budget),
    ]


def _named(names: tuple[str, ...], wide: tuple[str, ...], cells: Callable[[Object], Cells]) -> Layout:
    """A layout that begins with the object's name and ends with its wide columns, as nearly all do."""
    return Layout(("Name", *names, *wide), wide, lambda document: [document["metadata"]["name"], *cells(document)])


_WORKLOAD_WIDE = ("Containers", "Images", "Selector")
_NODE_WIDE = ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")
_PLAIN = _named(("Created At",), (), lambda document: [document["metadata"].get("creationTimestamp", "")])
_LAYOUTS = {
    "Pod": _named(("Ready", "Status", "Restarts", "Age"), ("IP", "Node", "Nominated Node", "Readiness Gates"), _pod),
    "Deployment": _named(("Ready", "Up-to-date", "Available", "Age"), _WORKLOAD_WIDE, _deployment),
    "ReplicaSet": _named(("Desired", "Current", "Ready", "Age"), _WORKLOAD_WIDE, _replica_set),
    "Service": _named(("Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), ("Selector",), _service),
    "Endpoints": _named(("Endpoints", "Age"), (), _endpoints),
    "ConfigMap": _named(("Data", "Age"), (), _config_map),
    "Secret": _named(("Type", "Data", "Age"), (), _secret),
    "Event": Layout(
        ("Last Seen", "Type", "Reason", "Object", "Subobject", "Source", "Message", "First Seen", "Count", "Name"),
        ("Subobject", "Source", "First Seen", "Count", "Name"),
        _event,
    ),
    "Namespace": _named(("Status", "Age"), (), lambda namespace: [_status(namespace, "phase"), _age(namespace)]),
    "Node": _named(("Status", "Roles", "Age", "Version"), _NODE_WIDE, _node),
    "HorizontalPodAutoscaler": _named(
        ("Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"), (), _autoscaler
    ),
    "PodDisruptionBudget": _named(("Min Available", "Max Unavailable", "Allowed Disruptions", "Age"), (), _budget),
    "ServiceAccount": _named(
        ("Secrets", "Age"), (), lambda account: [len(account.get("secrets") or ()), _age(account)]
    ),
    "Lease": _named(
        ("Holder", "Age"), (), lambda lease: [lease.get("spec", {}).get("holderIdentity", ""), _age(lease)]
    ),
}
