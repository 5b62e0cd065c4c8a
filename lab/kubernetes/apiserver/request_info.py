"""What a request asks for, read from its method and path (`k8s.io/apiserver/pkg/endpoints/request`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

REVIEW_GROUPS = ("authorization.k8s.io", "authentication.k8s.io")
MUTATING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class RequestInfo:
    """A request for a resource, or (with `resource` empty) for another path such as `/version`."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    @property
    def is_mutating(self) -> bool:
        """Reviews are created, but they only ask a question."""
        return self.verb in MUTATING_VERBS and self.is_resource and self.group not in REVIEW_GROUPS

    @classmethod
    def parse(cls, method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
        """Reads any request; one that names no resource has only its path and the lower-case method as verb."""
        parts = [unquote(part) for part in raw_path.strip("/").split("/")]
        if parts[0] == "api" and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return cls(raw_path, method.lower())
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 1:
            namespace = rest[1]
            if len(rest) > 2 and rest[2] not in ("status", "finalize"):
                rest = rest[2:]
        resource, name, subresource = (*rest, "", "", "")[:3]
        return cls(raw_path, _verb(method, name, query), group, version, resource, subresource, namespace, name)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    verb = _VERBS.get(method, method.lower())
    if verb == "get" and query.get("watch") in ("1", "true"):
        return "watch"
    if verb == "get" and not name:
        return "list"
    if verb == "delete" and not name:
        return "deletecollection"
    return verb
