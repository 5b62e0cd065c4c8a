"""`Table` responses: what `kubectl get` prints. The cells of each kind are in `columns`."""

from __future__ import annotations

from lab.kubernetes.apiserver import columns
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object

_INTEGERS = frozenset(
    {"Up-to-date", "Available", "Desired", "Current", "Data", "Replicas", "MinPods", "MaxPods", "Allowed Disruptions"}
)


def table(resource: Resource, documents: list[Object], include: str, metadata: Object) -> Object:
    """The documents as a meta.k8s.io/v1 Table. `include` is what each row carries: None, Metadata or Object."""
    layout = columns.layout(resource.kind)
    definitions = [_definition(name, name in layout.wide) for name in layout.names]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": [{"cells": layout.cells(document), "object": _included(document, include)} for document in documents],
    }


def partial_metadata(document: Object) -> Object:
    """An object's metadata alone, as informers of metadata ask for."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"]}


def _definition(name: str, wide: bool) -> Object:
    kind = "integer" if name in _INTEGERS else "string"
    form = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": name, "priority": int(wide)}


def _included(document: Object, include: str) -> Object | None:
    if include == "None":
        return None
    return document if include == "Object" else partial_metadata(document)
