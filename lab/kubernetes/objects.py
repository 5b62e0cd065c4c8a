"""API objects as JSON documents, and the questions that every component asks of them.

An API object is passed on as the document that it is: what a schema allows is for the API server to check
(`apiserver.schemas`), and a typed mirror of every kind would only restate it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from lab.kubernetes import timestamps

Object: TypeAlias = dict[str, Any]


def name_of(document: Object) -> str:
    return str(document["metadata"]["name"])


def namespace_of(document: Object) -> str:
    """The namespace; empty for cluster-scoped objects."""
    return str(document["metadata"].get("namespace", ""))


def uid_of(document: Object) -> str:
    return str(document["metadata"]["uid"])


def revision_of(document: Object) -> int:
    """The resourceVersion as a number. Clients may not count on that in general; both servers used here have it so."""
    return int(document["metadata"].get("resourceVersion") or 0)


def is_deleting(document: Object) -> bool:
    return "deletionTimestamp" in document["metadata"]


def controller_of(document: Object) -> Object | None:
    """The owner reference of the controlling owner, if there is one."""
    references: list[Object] = document["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(document: Object, owner: Object) -> bool:
    reference = controller_of(document)
    return reference is not None and reference["uid"] == uid_of(owner)


def controller_reference(owner: Object) -> Object:
    """The owner reference that a controller puts on what it creates for `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(document: Object, kind: str) -> Object | None:
    """The status condition of that type, if it was ever set."""
    conditions: list[Object] = document.get("status", {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), None)


def is_pod_ready(pod: Object) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def is_pod_available(pod: Object, min_ready_seconds: int) -> bool:
    """Ready for at least that long."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return False
    since = ready.get("lastTransitionTime")
    return min_ready_seconds == 0 or (since is not None and timestamps.age(since) >= min_ready_seconds)


def is_pod_active(pod: Object) -> bool:
    """Counts towards its owner's replicas: neither finished nor on its way out."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not is_deleting(pod)
