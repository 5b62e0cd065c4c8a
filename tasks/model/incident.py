"""Why a run was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Raiser(StrEnum):
    """Who raised an incident. Whether it is over is asked of the same."""

    ALERTMANAGER = "alertmanager"
    HEALTH_CHECK = "health check"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Incident:
    """One alert on one target, from its first appearance until it is resolved.

    `quiet_at` says that the alert is over while a run still has the incident in hand, `taken_by` that a person has it
    and automation stands back, `pickups` how often it was picked up from a run that crashed.
    """

    id: str
    raiser: Raiser
    alert: str
    runbook: str
    site: str
    severity: str
    summary: str
    started_at: datetime
    received_at: datetime
    labels: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    quiet_at: datetime | None = None
    resolved_at: datetime | None = None
    claimed_by: str | None = None
    announced_at: datetime | None = None
    taken_by: str | None = None
    taken_at: datetime | None = None
    pickups: int = 0
