"""What makes an object invalid (422), in the words of `k8s.io/kubernetes/pkg/apis/*/validation`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab.kubernetes import quantities
from lab.kubernetes.apiserver.errors import FieldError
from lab.kubernetes.apiserver.identifiers import LABEL, NAME_IN_LABEL_FORM, label_errors, name_errors, required, shown
from lab.kubernetes.objects import Object
from lab.kubernetes.selectors import LabelSelector

_DATA_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")


def errors(kind: str, document: Object, old: Object | None) -> list[FieldError]:
    """Every complaint about a document (in its stored version); `old` is its former state on an update."""
    found = [] if old is not None else name_errors(kind, document["metadata"].get("name"))
    found += label_errors(document["metadata"].get("labels"), "metadata.labels")
    check = _BY_KIND.get(kind)
    return found + (check(document, old) if check else [])


def not_negative(value: Any, field: str) -> list[FieldError]:
    if isinstance(value, int) and value < 0:
        return [FieldError(field, f"Invalid value: {value}: must be greater than or equal to 0")]
    return []


def _immutable(document: Object, old: Object | None, *path: str) -> list[FieldError]:
    before: Any = old
    after: Any = document
    for step in path:
        before, after = (before or {}).get(step), (after or {}).get(step)
    if old is None or before == after:
        return []
    return [FieldError(".".join(path), f"Invalid value: {shown(after)}: field is immutable")]


def _workload(document: Object, old: Object | None) -> list[FieldError]:
    spec = document["spec"]
    found = not_negative(spec.get("replicas"), "spec.replicas")
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += not_negative(spec.get(name), f"spec.{name}")
    selector = spec.get("selector")
    if not selector:
        found.append(required("spec.selector"))
    elif not LabelSelector.of(selector).matches_labels(spec["template"]["metadata"].get("labels") or {}):
        labels = spec["template"]["metadata"].get("labels") or {}
        found.append(
            FieldError(
                "spec.template.metadata.labels", f"Invalid value: {labels}: `selector` does not match template `labels`"
            )
        )
    found += _immutable(document, old, "spec", "selector")
    found += _pod_spec(spec["template"]["spec"], "spec.template.spec")
    if spec["template"]["spec"].get("restartPolicy") != "Always":
        value = shown(spec["template"]["spec"].get("restartPolicy"))
        found.append(
            FieldError(
                "spec.template.spec.restartPolicy",
                f'Unsupported value: {value}: supported values: "Always"',
                "FieldValueNotSupported",
            )
        )
    return found


def _deployment(document: Object, old: Object | None) -> list[FieldError]:
    found = _workload(document, old)
    strategy = document["spec"]["strategy"]
    rolling = strategy.get("rollingUpdate") or {}
    if strategy["type"] == "Recreate" and rolling:
        message = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        found.append(FieldError("spec.strategy.rollingUpdate", message, "FieldValueForbidden"))
    elif strategy["type"] not in ("Recreate", "RollingUpdate"):
        message = f'Unsupported value: {shown(strategy["type"])}: supported values: "Recreate", "RollingUpdate"'
        found.append(FieldError("spec.strategy.type", message, "FieldValueNotSupported"))
    if str(rolling.get("maxSurge")) in ("0", "0%") and str(rolling.get("maxUnavailable")) in ("0", "0%"):
        message = f"Invalid value: {shown(rolling['maxUnavailable'])}: may not be 0 when `maxSurge` is 0"
        found.append(FieldError("spec.strategy.rollingUpdate.maxUnavailable", message))
    return found


def _pod_spec(spec: Object, path: str) -> list[FieldError]:
    containers = spec.get("containers") or []
    found = [] if containers else [required(f"{path}.containers")]
    seen: set[str] = set()
    for index, container in enumerate(containers):
        field = f"{path}.containers[{index}]"
        name = container.get("name", "")
        if not name:
            found.append(required(f"{field}.name"))
        elif not LABEL.match(name):
            found.append(FieldError(f"{field}.name", f"Invalid value: {shown(name)}: {NAME_IN_LABEL_FORM}"))
        elif name in seen:
            found.append(FieldError(f"{field}.name", f"Duplicate value: {shown(name)}", "FieldValueDuplicate"))
        seen.add(name)
        if not container.get("image"):
            found.append(required(f"{field}.image"))
        found += _resources(container.get("resources") or {}, f"{field}.resources")
    return found


def _resources(resources: Object, path: str) -> list[FieldError]:
    found = []
    limits = resources.get("limits") or {}
    for name, request in (resources.get("requests") or {}).items():
        if name in limits and quantities.parse(request) > quantities.parse(limits[name]):
            message = f"Invalid value: {shown(request)}: must be less than or equal to {name} limit"
            found.append(FieldError(f"{path}.requests", message))
    return found


_POD_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")


def _pod(document: Object, old: Object | None) -> list[FieldError]:
    if old is None:
        return _pod_spec(document["spec"], "spec")
    if _fixed_part(document["spec"]) != _fixed_part(old["spec"]):
        images = "`spec.containers[*].image`, `spec.initContainers[*].image`"
        fields = f"{images}, `spec.activeDeadlineSeconds` or `spec.tolerations`"
        message = (
            f"Forbidden: pod updates may not change fields other than {fields} (only additions to existing tolerations)"
        )
        return [FieldError("spec", message, "FieldValueForbidden")]
    return []


def _fixed_part(spec: Object) -> Object:
    containers = [{**container, "image": ""} for container in spec.get("containers") or ()]
    return {**{name: value for name, value in spec.items() if name not in _POD_MUTABLE}, "containers": containers}


def _autoscaler(document: Object, old: Object | None) -> list[FieldError]:
    spec = document["spec"]
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    found = []
    if low < 1:
        found.append(FieldError("spec.minReplicas", f"Invalid value: {low}: must be greater than or equal to 1"))
    if high < 1:
        found.append(FieldError("spec.maxReplicas", f"Invalid value: {high}: must be greater than 0"))
    if high < low:
        message = f"Invalid value: {high}: must be greater than or equal to `minReplicas`"
        found.append(FieldError("spec.maxReplicas", message))
    target = spec.get("scaleTargetRef") or {}
    found += [required(f"spec.scaleTargetRef.{name}") for name in ("kind", "name") if not target.get(name)]
    return found


def _service(document: Object, old: Object | None) -> list[FieldError]:
    spec = document["spec"]
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [required("spec.ports")]
    found = []
    for index, port in enumerate(spec.get("ports") or ()):
        if not 1 <= int(port.get("port") or 0) <= 65535:
            message = f"Invalid value: {port.get('port') or 0}: must be between 1 and 65535, inclusive"
            found.append(FieldError(f"spec.ports[{index}].port", message))
    return found + (
        _immutable(document, old, "spec", "clusterIP") if (old or {}).get("spec", {}).get("clusterIP") else []
    )


def _data(document: Object, old: Object | None) -> list[FieldError]:
    message = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    return [
        FieldError(f"data[{key}]", f"Invalid value: {shown(key)}: {message}")
        for key in document.get("data") or {}
        if not _DATA_KEY.match(key)
    ]


def _disruption_budget(document: Object, old: Object | None) -> list[FieldError]:
    spec = document.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        return [FieldError("spec", f"Invalid value: {spec}: minAvailable and maxUnavailable cannot be both set")]
    return []


_BY_KIND: dict[str, Callable[[Object, Object | None], list[FieldError]]] = {
    "Deployment": _deployment,
    "ReplicaSet": _workload,
    "Pod": _pod,
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service,
    "ConfigMap": _data,
    "Secret": _data,
    "PodDisruptionBudget": _disruption_budget,
}
