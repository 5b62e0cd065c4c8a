"""Which resources the API serves: names, scopes, verbs and subresources."""

from __future__ import annotations

from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list")


@dataclass(frozen=True)
class Resource:
    """One resource in one version. `stored_as` names the version that the store keeps, where there are several."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    in_all: bool = False
    """Shown by `kubectl get all`."""
    has_generation: bool = False
    """Its spec is counted in metadata.generation."""
    stored_as: str = field(default="")

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def collection(self) -> tuple[str, str]:
        """What the store knows it by, whatever the version."""
        return (self.group, self.plural)


@dataclass(frozen=True)
class Subresource:
    """How a subresource shows in discovery."""

    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


_WRITABLE = ("get", "patch", "update")


def subresource(resource: Resource, name: str) -> Subresource:
    """The description of `resource`'s subresource of that name. Raises KeyError for an unknown name."""
    return {
        "status": Subresource(resource.group, resource.version, resource.kind, _WRITABLE),
        "scale": Subresource("autoscaling", "v1", "Scale", _WRITABLE),
        "log": Subresource("", "v1", "Pod", ("get",)),
        "binding": Subresource("", "v1", "Binding", ("create",)),
        "eviction": Subresource("policy", "v1", "Eviction", ("create",)),
    }[name]


_WORKLOAD = ("status", "scale")
_AUTOSCALER = ("horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), ("status",), ALL_VERBS, True)

RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), ("status",)),
    Resource("", "v1", "nodes", "Node", False, ("no",), ("status",)),
    Resource("", "v1", "pods", "Pod", True, ("po",), ("status", "log", "binding", "eviction"), in_all=True),
    Resource("", "v1", "services", "Service", True, ("svc",), ("status",), in_all=True),
    Resource("", "v1", "endpoints", "Endpoints", True, ("ep",)),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "events", "Event", True, ("ev",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), _WORKLOAD, in_all=True, has_generation=True),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), _WORKLOAD, in_all=True, has_generation=True),
    Resource("autoscaling", "v2", *_AUTOSCALER),
    Resource("autoscaling", "v1", *_AUTOSCALER, stored_as="v2"),
    Resource(
        "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), ("status",), has_generation=True
    ),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource(
        "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=("create",)
    ),
    Resource(
        "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=("create",)
    ),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=("create",)),
    Resource("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False, verbs=READ_VERBS),
    Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True, verbs=READ_VERBS),
)
"""In the order of preference: of a group's versions, the first is the preferred one."""

_BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
_STORED = {resource.collection: resource for resource in reversed(RESOURCES) if not resource.stored_as}


def find(group: str, version: str, plural: str) -> Resource | None:
    return _BY_PATH.get((group, version, plural))


def stored(collection: tuple[str, str]) -> Resource:
    """The version in which the store keeps a collection. Raises KeyError for an unknown one."""
    return _STORED[collection]


def groups() -> dict[str, list[str]]:
    """Every group with its versions, preferred first; the core group is the empty name."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES:
        versions = found.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
    return found
