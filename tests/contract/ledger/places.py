"""Ledgers of the tests, on SQLite and on PostgreSQL, and what is written into them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tasks.ledger import Claimant, Held, Ledger, RunRecord, Stray
from tasks.ledger.strays import stray_key
from tasks.model.change import Change, Diff, Purpose
from tasks.model.claim import Bound, Claim, Draft
from tasks.model.incident import Incident, Raiser
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tests.wishes import ORCHESTRATION, Wish

T = TypeVar("T")
START = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)
PUBLISHER = Target("deployment", "bus", "publisher")


@dataclass
class Clock:
    """Our own clock, turned."""

    shift: timedelta = timedelta(0)

    def turn(self, by: timedelta) -> None:
        """Turns it."""
        self.shift += by

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.shift


@dataclass(frozen=True)
class Place:
    """Where a ledger is. `turn` turns the clock of its database."""

    url: str
    turn: Callable[[timedelta], None]
    clock: Clock = field(default_factory=Clock)

    def open(self) -> Ledger:
        """The ledger, as another process on another host has it: with connections of its own."""
        return Ledger(self.url, self.clock)


def incident(site: str = "prod", alert: str = "HighTaskQueueDepth", **other: Any) -> Incident:
    """An incident like that of the message bus."""
    values: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "raiser": Raiser.ALERTMANAGER,
        "alert": alert,
        "runbook": "high_task_queue_depth",
        "site": site,
        "severity": "warning",
        "summary": "850 tasks waiting",
        "started_at": START,
        "received_at": datetime.now(UTC),
    }
    return Incident(**{**values, **other})


def stray(alert: str = "Strange", **other: Any) -> Stray:
    """An alert that nobody knows."""
    labels = other.pop("labels", {"alertname": alert})
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "key": stray_key(labels),
        "alert": alert,
        "why": "no runbook answers to this alert",
        "summary": "strange",
        "labels": labels,
        "started_at": START,
        "first_at": now,
        "last_at": now,
    }
    return Stray(**{**values, **other})


def run(id: str = "run-1", **other: Any) -> RunRecord:
    """A run that has begun."""
    values: dict[str, Any] = {
        "id": id,
        "runbook": "high_task_queue_depth",
        "site": "prod",
        "incident": None,
        "severity": Severity.WARNING,
        "trust": "act",
        "code_version": "1",
        "started_at": START,
    }
    return RunRecord(**{**values, **other})


def replicas(before: int, after: int, claim: Claim | None = None, target: Target = ORCHESTRATION) -> Diff:
    """A change of a number of replicas, with the claim that it makes."""
    draft = Draft(target, "replicas", claim, {"replicas": before}, {"replicas": after})
    return Diff(f"replicas {before}", f"replicas {after}", "77", f"{before} now", draft=draft)


def at_least(value: int) -> Claim:
    """A floor."""
    return Claim(Bound.AT_LEAST, value)


def claimant(due_at: datetime = START, **other: Any) -> Claimant:
    """On whose behalf something is claimed."""
    values: Mapping[str, Any] = {"runbook": "high_task_queue_depth", "severity": Severity.WARNING, "due_at": due_at}
    return Claimant(**{**values, **other})


def intend(ledger: Ledger, diff: Diff, run: str = "run-1", **other: Any) -> int:
    """Writes down a change as a run does it that has looked again where that was needed; with a claim when the diff
    makes one."""
    draft = diff.draft
    change: Change = other.pop("change", None) or Wish(
        draft.target if draft else ORCHESTRATION, restore="when the gate holds"
    )
    values: dict[str, Any] = {
        "run": run,
        "incident": None,
        "site": "prod",
        "option": "scale out",
        "purpose": Purpose.CHANGE,
        "change": change,
        "diff": diff,
        "held": (),
        "claimant": claimant() if draft and draft.claim else None,
        "looked_again": True,
    }
    return ledger.changes.intend(**{**values, **other})


def acquire(ledger: Ledger, run: str, *targets: Target, **other: Any) -> list[Held]:
    """Takes locks as a run does it."""
    values: dict[str, Any] = {"runbook": "high_task_queue_depth", "severity": Severity.WARNING, "site": "prod"}
    return ledger.locks.acquire(run, targets=targets or (ORCHESTRATION,), **{**values, **other})


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """The work done by many threads that start together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
