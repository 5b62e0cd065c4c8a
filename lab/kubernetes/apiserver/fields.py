"""Which fields a field selector may name; the API server indexes only these."""

from __future__ import annotations

from lab.kubernetes.apiserver.errors import bad_request
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.selectors import FieldSelector

_COMMON = ("metadata.name", "metadata.namespace")
_FURTHER = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        *(
            f"involvedObject.{name}"
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        ),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "replicasets": ("status.replicas",),
    "secrets": ("type",),
}


def check_field_selector(resource: Resource, selector: FieldSelector) -> None:
    """Raises ApiError 400 for a field that cannot be selected by."""
    known = _COMMON + _FURTHER.get(resource.plural, ())
    for path in selector.paths:
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
