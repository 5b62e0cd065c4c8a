"""Who asks (a bearer token) and whether they may (roles of groups).

`ROLES` is plain data in RBAC's terms: against a real API server the same rules are created as ClusterRoles.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from lab.kubernetes.apiserver.errors import ApiError, unauthorized
from lab.kubernetes.apiserver.request_info import RequestInfo
from lab.kubernetes.objects import Object

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class User:
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()

    def info(self) -> Object:
        """`authentication/v1 UserInfo`."""
        return {"username": self.name, **({"uid": self.uid} if self.uid else {}), "groups": list(self.groups)}


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


@dataclass(frozen=True)
class Rule:
    """One RBAC rule: any of the verbs on any of the resources of the groups; `*` stands for all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]

    def allows(self, verb: str, group: str, resource: str) -> bool:
        asked = ((verb, self.verbs), (group, self.groups), (resource, self.resources))
        return all("*" in allowed or value in allowed for value, allowed in asked)

    def document(self) -> Object:
        """`rbac.authorization.k8s.io/v1 PolicyRule`."""
        return {"verbs": list(self.verbs), "apiGroups": list(self.groups), "resources": list(self.resources)}


_READ = ("get", "list", "watch")
_WRITE = ("patch", "update")
_READABLE = (
    Rule(_READ, ("",), ("namespaces", "nodes", "pods", "pods/status", "pods/log", "services", "endpoints")),
    Rule(_READ, ("",), ("configmaps", "events", "serviceaccounts")),
    Rule(_READ, ("apps",), ("deployments", "deployments/status", "deployments/scale")),
    Rule(_READ, ("apps",), ("replicasets", "replicasets/status", "replicasets/scale")),
    Rule(_READ, ("autoscaling",), ("horizontalpodautoscalers", "horizontalpodautoscalers/status")),
    Rule(_READ, ("policy",), ("poddisruptionbudgets", "poddisruptionbudgets/status")),
    Rule(_READ, ("coordination.k8s.io",), ("leases",)),
    Rule(_READ, ("metrics.k8s.io",), ("pods", "nodes")),
)
ROLES: dict[str, tuple[Rule, ...]] = {
    "viewers": _READABLE,
    "operators": (
        *_READABLE,
        Rule(_WRITE, ("apps",), ("deployments", "deployments/scale")),
        Rule(_WRITE, ("",), ("configmaps",)),
        Rule(_WRITE, ("autoscaling",), ("horizontalpodautoscalers",)),
        Rule(("delete",), ("",), ("pods",)),
        Rule(("create",), ("",), ("pods/eviction",)),
    ),
}
"""What the members of a group may do. Secrets are nobody's but the masters'."""

_EVERYBODY = (
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
)
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
_DISCOVERY_PATHS = ("/api", "/apis", "/openapi")


class Authenticator:
    """Bearer tokens from a file as kube-apiserver's `--token-auth-file`: token,user,uid,"group1,group2"."""

    def __init__(self, users: dict[str, User]) -> None:
        self._users = users

    @classmethod
    def load(cls, path: Path) -> Authenticator:
        """Raises OSError when the file cannot be read, ValueError for a line that is not as described."""
        users = {}
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                if len(row) < 3:
                    raise ValueError(f"{path}: a line needs token, user and uid: {len(row)} fields found")
                token, name, uid = row[:3]
                groups = tuple(filter(None, row[3].split(","))) if len(row) > 3 else ()
                users[token] = User(name, uid, (*groups, AUTHENTICATED))
        return cls(users)

    def authenticate(self, authorization: str | None) -> User:
        """The user of an Authorization header, anonymous without one. Raises ApiError 401 for an unknown token."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        user = self._users.get(token.strip())
        if scheme.lower() != "bearer" or user is None:
            raise unauthorized()
        return user


def rules_of(user: User) -> tuple[Rule, ...]:
    if MASTERS in user.groups:
        return (Rule(("*",), ("*",), ("*",)),)
    everybody = _EVERYBODY if AUTHENTICATED in user.groups else ()
    return everybody + tuple(rule for group in user.groups for rule in ROLES.get(group, ()))


def may(user: User, verb: str, group: str, resource: str, subresource: str = "") -> bool:
    asked = f"{resource}/{subresource}" if subresource else resource
    return any(rule.allows(verb, group, asked) for rule in rules_of(user))


def authorize(user: User, info: RequestInfo) -> None:
    """Raises ApiError 403 unless the user may do what the request asks."""
    if not info.is_resource:
        _authorize_path(user, info)
    elif not may(user, info.verb, info.group, info.resource, info.subresource):
        qualified = f"{info.resource}.{info.group}" if info.group else info.resource
        asked = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        scope = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
        subject = f'{qualified} "{info.name}"' if info.name else qualified
        message = (
            f'{subject} is forbidden: User "{user.name}" cannot {info.verb} resource "{asked}" '
            f'in API group "{info.group}" {scope}'
        )
        details = {"name": info.name, "group": info.group, "kind": info.resource}
        raise ApiError(403, "Forbidden", message, {name: value for name, value in details.items() if value})


def _authorize_path(user: User, info: RequestInfo) -> None:
    first = "/" + info.path.strip("/").partition("/")[0]
    allowed = _OPEN_PATHS + (_DISCOVERY_PATHS if AUTHENTICATED in user.groups else ())
    if (info.verb != "get" or first not in allowed) and MASTERS not in user.groups:
        message = f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"'
        raise ApiError(403, "Forbidden", message)
