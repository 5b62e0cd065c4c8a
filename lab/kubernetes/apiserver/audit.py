"""The audit log: one `audit.k8s.io/v1` Event a line for every mutating request, refused ones included.

It has the shape of a kube-apiserver's log at level Request with the stage RequestReceived omitted, so whoever
judges by it reads both in the same way.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver.auth import User
from lab.kubernetes.apiserver.request_info import RequestInfo
from lab.kubernetes.objects import Object


@dataclass
class Exchange:
    """One mutating request and its answer, filled in while it is served."""

    info: RequestInfo
    received: datetime
    user: User | None = None
    body: Any = None
    code: int = 0
    failure: Object | None = None
    """The Status of a refused request."""
    authorized: bool = False


class AuditLog:
    """Appends to a file, flushed line by line: a record stands there before its client has the answer."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, request: web.Request, exchange: Exchange) -> None:
        self._file.write(json.dumps(event(request, exchange), separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def event(request: web.Request, exchange: Exchange) -> Object:
    """The `audit.k8s.io/v1` Event of an exchange."""
    status = (
        {name: exchange.failure[name] for name in ("status", "reason", "message") if name in exchange.failure}
        if exchange.failure
        else {}
    )
    # A request without a valid token never gets beyond the response's start; the real server logs that stage.
    record: Object = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Request",
        "auditID": str(uuid.uuid4()),
        "stage": "ResponseComplete" if exchange.user else "ResponseStarted",
        "requestURI": request.path_qs,
        "verb": exchange.info.verb,
        "user": exchange.user.info() if exchange.user else {},
        "sourceIPs": [request.remote or ""],
        "userAgent": request.headers.get("User-Agent", ""),
        "objectRef": _object_reference(exchange),
        "responseStatus": {"metadata": {}, **status, "code": exchange.code},
        "requestReceivedTimestamp": timestamps.micros(exchange.received),
        "stageTimestamp": timestamps.micros(datetime.now(UTC)),
    }
    if exchange.body is not None and exchange.authorized:
        record["requestObject"] = exchange.body
    if exchange.user:
        record["annotations"] = {"authorization.k8s.io/decision": "allow" if exchange.authorized else "forbid"}
    return record


def _object_reference(exchange: Exchange) -> Object:
    info = exchange.info
    metadata = exchange.body.get("metadata") or {} if isinstance(exchange.body, dict) and exchange.authorized else {}
    reference = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name or metadata.get("name", ""),
        "uid": metadata.get("uid", "") if info.verb in ("create", "update") else "",
        "apiGroup": info.group,
        "apiVersion": info.version,
        "resourceVersion": metadata.get("resourceVersion", "") if info.verb in ("create", "update") else "",
        "subresource": info.subresource,
    }
    return {name: value for name, value in reference.items() if value}
