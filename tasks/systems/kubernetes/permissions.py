"""What an account may do in a namespace, and the Role that grants it.

Each module of this package declares next to its calls what they need; a platform adds up what its probes and changes
use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from tasks.systems.kubernetes.client import Cluster

ROLE = "prefect-runbooks"
_READING = ("get", "list", "watch")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """A verb on a kind of object in RBAC's terms, e.g. `Permission("apps/v1", "deployments/scale", "patch")`."""

    api: str
    resource: str
    verb: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api.rpartition("/")[0]

    @property
    def writes(self) -> bool:
        return self.verb not in _READING

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


def may(cluster: Cluster, permission: Permission) -> bool:
    """Whether our account may do that in the namespace, as the API server judges it (SelfSubjectAccessReview).

    Raises:
        ApiException: it does not know the account, or does not answer the question.
    """
    resource, _, subresource = permission.resource.partition("/")
    asked = client.V1ResourceAttributes(
        namespace=cluster.namespace,
        verb=permission.verb,
        group=permission.group,
        version=permission.api.rpartition("/")[2],
        resource=resource,
        subresource=subresource or None,
    )
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked),
    )
    answer: Any = cluster.authorization.create_self_subject_access_review(review, _request_timeout=cluster.timeout)
    return bool(answer.status.allowed)


def role(namespace: str, permissions: Iterable[Permission]) -> dict[str, Any]:
    """The Role that grants exactly these permissions; resources with the same verbs share a rule."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for permission in permissions:
        verbs.setdefault((permission.group, permission.resource), set()).add(permission.verb)
    resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), allowed in sorted(verbs.items()):
        resources.setdefault((group, tuple(sorted(allowed))), []).append(resource)
    rules = [
        {"apiGroups": [group], "resources": names, "verbs": list(allowed)}
        for (group, allowed), names in resources.items()
    ]
    return {**_document("Role", namespace), "rules": rules}


def binding(namespace: str, user: str) -> dict[str, Any]:
    """The RoleBinding that gives the Role to a user, by the name that `kubectl auth whoami` prints for it; of a service
    account that is `system:serviceaccount:NAMESPACE:NAME`."""
    api = "rbac.authorization.k8s.io"
    return {
        **_document("RoleBinding", namespace),
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
        "roleRef": {"apiGroup": api, "kind": "Role", "name": ROLE},
    }


def _document(kind: str, namespace: str) -> dict[str, Any]:
    metadata = {"name": ROLE, "namespace": namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
