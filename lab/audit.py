"""The audit logs: every write that reached the cluster or the platform's own administration, refused ones too.

They are the judge of who did what. User names that start with `system:` belong to the ground and to the cluster's own
components; all others are people's and automations'.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from lab.files import read_whole


class AuditRecord(BaseModel):
    """One write request, from an `audit.k8s.io/v1` event; what the request does not name is empty."""

    model_config = ConfigDict(frozen=True)

    time: datetime
    user: str
    user_agent: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    """The HTTP status that was answered; 0 if none was yet, or none ever will be because who should was killed."""
    body: JsonValue
    """What was sent, or None."""

    @property
    def by_component(self) -> bool:
        """Whether the cluster itself, or the ground, made the request."""
        return self.user.startswith("system:")

    @property
    def accepted(self) -> bool:
        """Whether the request was carried out; without an answer it may have been."""
        return self.code < 400

    @classmethod
    def of(cls, event: dict[str, Any]) -> AuditRecord:
        """Make a record of an event of the log."""
        target = event.get("objectRef", {})
        return cls(
            time=event["requestReceivedTimestamp"],
            user=event["user"].get("username", ""),
            user_agent=event.get("userAgent", ""),
            verb=event["verb"],
            resource=target.get("resource", ""),
            subresource=target.get("subresource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            body=event.get("requestObject"),
        )


def read_audit_logs(*paths: Path, since: datetime | None = None) -> list[AuditRecord]:
    """The records of several logs since a time, oldest first; a log to which nothing was written yet may be missing.

    A line that is only half there, because it is being written right now, is left for the next reading.
    """
    # A request that is written down at several stages counts as at the last one.
    events: dict[str, dict[str, Any]] = {}
    for path in paths:
        complete, _, _ = (read_whole(path) or "").rpartition("\n")
        # Lines that are too old are not parsed: a cluster's own components write tens of thousands in an hour.
        lines = (line for line in complete.splitlines() if since is None or _received(line) >= since)
        events |= {event["auditID"]: event for event in map(json.loads, lines)}
    return sorted(map(AuditRecord.of, events.values()), key=lambda record: record.time)


def _received(line: str) -> datetime:
    """When a request came, without parsing the line."""
    return datetime.fromisoformat(line.partition('"requestReceivedTimestamp":')[2].split('"', 2)[1])
