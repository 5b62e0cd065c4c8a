"""Which ReplicaSet is which revision of a Deployment."""

from __future__ import annotations

import copy
import hashlib
import json

from lab.kubernetes.objects import Object, controller_reference, name_of, namespace_of

REVISION = "deployment.kubernetes.io/revision"
_REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAXIMUM = "deployment.kubernetes.io/max-replicas"
_HASH_LABEL = "pod-template-hash"
_NOT_INHERITED = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, _REVISION_HISTORY, _DESIRED, _MAXIMUM)


def revision(document: Object) -> int:
    """The revision number that an object carries, 0 without one."""
    return int((document["metadata"].get("annotations") or {}).get(REVISION, 0))


def is_of_template(replica_set: Object, deployment: Object) -> bool:
    """Whether a ReplicaSet has the Deployment's present pod template; the hash label is its own."""
    return _without_hash(replica_set["spec"]["template"]) == _without_hash(deployment["spec"]["template"])


def new_replica_set(deployment: Object, number: int, max_surge: int) -> Object:
    """The ReplicaSet for the present template, with no replicas yet."""
    template = copy.deepcopy(deployment["spec"]["template"])
    digest = _hash(template)
    template["metadata"].setdefault("labels", {})[_HASH_LABEL] = digest
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[_HASH_LABEL] = digest
    spec: Object = {"replicas": 0, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": revision_annotations({}, deployment, number, max_surge),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": spec,
    }


def revision_annotations(present: dict[str, str], deployment: Object, number: int, max_surge: int) -> dict[str, str]:
    """A ReplicaSet's annotations under a revision number: the Deployment's own and the bookkeeping of rollouts."""
    inherited = deployment["metadata"].get("annotations") or {}
    result = {**present, **{name: value for name, value in inherited.items() if name not in _NOT_INHERITED}}
    before = present.get(REVISION)
    if before is not None and int(before) < number:
        earlier = present.get(_REVISION_HISTORY)
        result[_REVISION_HISTORY] = f"{earlier},{before}" if earlier else before
    if before is None or int(before) < number:
        result[REVISION] = str(number)
    return result | scale_annotations(deployment, max_surge)


def scale_annotations(deployment: Object, max_surge: int) -> dict[str, str]:
    replicas = deployment["spec"]["replicas"]
    return {_DESIRED: str(replicas), _MAXIMUM: str(replicas + max_surge)}


def _without_hash(template: Object) -> Object:
    labels = {name: value for name, value in (template["metadata"].get("labels") or {}).items() if name != _HASH_LABEL}
    metadata = {name: value for name, value in template["metadata"].items() if name != "labels"}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _hash(template: Object) -> str:
    """Ten letters that are safe in names, as the real controller's `SafeEncodeString`."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:10])
