"""The log of the administration: who told this pod to do what, and what was answered.

One `audit.k8s.io/v1` Event a line, as the cluster's API server writes them, so that both are read in the same way. A
request is written down when it arrives (stage RequestReceived), before it has any effect, and again when it is answered
(ResponseComplete): a pod that is killed at any instant leaves at least the first. All pods append to one file.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from lab.web import BadRequest, Handler, Request, Response

ANONYMOUS = "anonymous"


class AuditLog:
    """Appends to a file; without one nothing is written down."""

    def __init__(self, path: Path | None, namespace: str) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = None if path is None else os.open(path, flags, 0o600)
        self._namespace = namespace

    def audited(self, handler: Handler, verb: str, resource: str, subresource: str = "") -> Handler:
        """The same handler, with every request written down."""

        async def recorded(request: Request) -> Response:
            target = {
                "resource": resource,
                "subresource": subresource,
                "namespace": self._namespace,
                "name": request.parameters.get("id", ""),
            }
            event = _received(request, verb, {name: value for name, value in target.items() if value})
            self._write(event)
            try:
                response = await handler(request)
            except BadRequest:
                self._write(_answered(event, HTTPStatus.BAD_REQUEST))
                raise
            self._write(_answered(event, response.status))
            return response

        return recorded

    def _write(self, event: dict[str, object]) -> None:
        if self._descriptor is not None:
            # In one piece, or the lines of two pods might mix.
            os.write(self._descriptor, json.dumps(event, separators=(",", ":")).encode() + b"\n")


def _received(request: Request, verb: str, target: dict[str, str]) -> dict[str, object]:
    body = {"requestObject": _shown(request.body)} if request.body else {}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Request",
        "auditID": str(uuid.uuid4()),
        "stage": "RequestReceived",
        "requestURI": request.path,
        "verb": verb,
        "user": {"username": request.headers.get("x-remote-user", ANONYMOUS)},
        "userAgent": request.headers.get("user-agent", ""),
        "objectRef": target,
        "requestReceivedTimestamp": _now(),
        **body,
    }


def _answered(event: dict[str, object], status: HTTPStatus) -> dict[str, object]:
    return {
        **event,
        "stage": "ResponseComplete",
        "responseStatus": {"metadata": {}, "code": status.value},
        "stageTimestamp": _now(),
    }


def _shown(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
