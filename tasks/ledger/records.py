"""What the ledger tells: its rows as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tasks.model.change import Purpose
from tasks.model.claim import Claim, Levels
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Severity
from tasks.model.site import Address
from tasks.model.target import Target


class ChangeState(StrEnum):
    """How far a change got. `INTENDED` in a run that ended means: it may or may not have reached the target."""

    INTENDED = "intended"
    APPLIED = "applied"
    IN_EFFECT = "in effect"
    NOT_NEEDED = "not needed"
    REFUSED = "refused"
    FAILED = "failed"
    EFFECT_UNKNOWN = "effect unknown"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a run's timeline."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reading of a run, as text, secrets removed. `round` counts the diagnoses of the run from 1; `lag` is in
    seconds."""

    run: str
    round: int
    name: str
    value: str
    source: str
    lag: float
    at: datetime


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """A change as the ledger has it."""

    id: int
    run: str
    incident: str | None
    site: str
    option: str
    purpose: Purpose
    target: Target
    field: str
    wanted: str
    effect: str
    restore: str
    group: str
    before: str
    after: str
    state: ChangeState
    detail: str
    intended_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the ledger has it.

    `seen_at` is its last sign of life by the database's clock; `waits_for` is the key of the plan for whose approval
    it is suspended; `crashed` says that it ended without saying so.
    """

    id: str
    runbook: str
    site: str
    incident: str | None
    severity: Severity
    trust: str
    code_version: str
    started_at: datetime
    seen_at: datetime | None = None
    waits_for: str | None = None
    crashed: bool = False
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    verdict: str | None = None
    report: Mapping[str, Any] | None = None


class ClaimState(StrEnum):
    """What became of a claim."""

    INTENDED = "intended"  # written down; whether it reached the target is not known yet
    OPEN = "open"  # in force
    RELEASED = "released"  # given back or undone
    WITHDRAWN = "withdrawn"  # it never reached the target
    LEFT = "left to a person"  # somebody else changed the value in between


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A claim on one field of one target, and on whose behalf. `due_at` is when it must have been given back."""

    id: int
    site: str
    target: Target
    field: str
    claim: Claim
    state: ClaimState
    run: str
    incident: str | None
    runbook: str
    option: str
    severity: Severity
    made_at: datetime
    due_at: datetime
    paged_at: datetime | None = None
    ended_at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """Everything that is claimed on one field of one target.

    `baseline` is what was there before the first claim; `written` what we last wrote for certain; `pending` what we
    were about to write when nobody knows whether it arrived.
    """

    id: int
    site: str
    target: Target
    field: str
    baseline: Levels
    written: Levels
    pending: Levels | None
    claims: tuple[ClaimRecord, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock as its holder knows it: the epoch changes with every holder, so an old holder is recognised."""

    site: str
    target: Target
    epoch: int


@dataclass(frozen=True, slots=True)
class LockRecord:
    """Who has a target. `expires_at` is by the database's clock."""

    site: str
    target: Target
    run: str
    runbook: str
    severity: Severity
    epoch: int
    expires_at: datetime


class Answer(StrEnum):
    """What became of a question to a person."""

    ASKED = "asked"
    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Approval:
    """A plan that was put before a person. It authorises the plan with this key and nothing else, until it expires."""

    key: str
    run: str
    incident: str | None
    site: str
    runbook: str
    plan: tuple[str, ...]
    answer: Answer
    asked_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop to all automation, or to that of one site (`site` empty: everywhere)."""

    site: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """That a person was called, or should have been (`error`), about an incident or a restore."""

    id: int
    incident: str
    kind: str
    level: int
    text: str
    at: datetime
    via: str
    error: str


@dataclass(frozen=True, slots=True)
class Received:
    """What became of one report of an alert.

    `incident` is the one that was opened, folded into, or resolved; None where an alert is over that had none. `new`
    says that it was opened, `another` that the alert that is over is not the one that opened it.
    """

    incident: Incident | None
    new: bool = False
    another: bool = False


@dataclass(frozen=True, slots=True)
class Stray:
    """An alert that has no incident: no runbook or no site knows it, or it is held back because the claim with the
    number `explained_by` explains it. `why` says which, `times` how often it was heard of."""

    key: str
    alert: str
    why: str
    summary: str
    labels: dict[str, str]
    started_at: datetime
    first_at: datetime
    last_at: datetime
    times: int = 1
    resolved_at: datetime | None = None
    explained_by: int | None = None

    @property
    def held_back(self) -> bool:
        """Whether it is on and has no incident only because a claim of ours explains it."""
        return self.explained_by is not None and self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Listed:
    """A site in the directory, with the last two signs of life of its alerting."""

    address: Address
    heard_at: datetime | None = None
    heard_before: datetime | None = None
