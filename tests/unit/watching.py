"""What the tests of the watch share: a ledger whose clock is turned, and Prefect and the people outside."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.intake.watch import Watch
from tasks.approval import Choice
from tasks.ledger import Answer, Approval, Claimant, RunRecord
from tasks.model.change import Diff, Purpose
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.incident import Incident
from tasks.model.outcome import Severity
from tasks.runbook import AnyRunbook
from tasks.sites import Site
from tests.unit.inline import SITE, incident
from tests.unit.ledgers import Clock, fresh_ledger
from tests.unit.standin import HIGH, RUNBOOKS, standin
from tests.unit.wishes import DRAFT
from tests.wishes import Wish

MINUTE = timedelta(minutes=1)


@dataclass
class Outside:
    """Prefect and the people, as the watch knows them."""

    started: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # by key, as the server folds them
    coming: set[str] = field(default_factory=set)  # incidents whose runs wait for a worker
    missing: set[str] = field(default_factory=set)  # deployments that are not there
    crashed: list[str] = field(default_factory=list)
    woken: list[tuple[str, Choice, str]] = field(default_factory=list)
    asleep: bool = True
    awake_already: bool = False  # what is to be woken was woken before
    waiting: bool = False  # for a worker
    told: list[Notice] = field(default_factory=list)
    deaf: bool = False  # no channel takes anything

    def start_run(self, deployment: str, parameters: dict[str, Any], key: str) -> str:
        """Starts a run, or finds the one with this key."""
        if deployment in self.missing:
            raise LookupError(f"{deployment} is not deployed")
        self.started.setdefault(key, (deployment, parameters))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, key))

    def wake(self, run: str, choice: Choice, name: str) -> bool:
        """Resumes a run that is suspended."""
        if not self.asleep:
            raise ConnectionError("connection refused")
        self.woken.append((run, choice, name))
        return not self.awake_already

    def kinds(self) -> list[NoticeKind]:
        """What people were told about."""
        return [notice.kind for notice in self.told]


@dataclass
class Notifier:
    """A channel's client."""

    name: str
    outside: Outside

    def send(self, notice: Notice) -> str:
        """Sends it."""
        if self.outside.deaf:
            raise ConnectionError("connection refused")
        self.outside.told.append(notice)
        return "sent"


class World:
    """A ledger whose clock is turned, and two watches on it, as on two hosts."""

    def __init__(self) -> None:
        self.clock = Clock(datetime.now(UTC))
        self.ledger = fresh_ledger(self.clock)
        contact = {"kind": "webhook", "level": 1, "address": "http://127.0.0.1:9/hook"}
        self.platform = standin(contacts=[contact])
        self.site = Site(SITE, self.platform)
        self.sites: list[Site] = [self.site]
        self.watches = [Watch(self.ledger, RUNBOOKS, lambda: self.sites) for _ in range(2)]

    def later(self, by: timedelta) -> None:
        self.clock.turn(by)

    def look(self) -> None:
        """Both look."""
        for one in self.watches:
            one.look()

    def raised(self, runbook: AnyRunbook = HIGH, **other: Any) -> Incident:
        found, _ = self.ledger.incidents.open(incident(runbook, **{"started_at": self.clock.now, **other}))
        return found

    def run(self, why: Incident | None = None, runbook: str = HIGH.id, id: str = "", site: str = SITE) -> str:
        """A run that has begun, and has claimed the incident."""
        id, about = id or str(uuid.uuid4()), why.id if why else None
        self.ledger.runs.begin(RunRecord(id, runbook, site, about, Severity.WARNING, "act", "1", self.ledger.now()))
        if why is not None:
            assert self.ledger.incidents.claim(why.id, id)
        return id

    def beats(self, run: str) -> None:
        self.ledger.runs.beat(run)

    def asks(self, run: str, why: Incident | None = None, key: str = "key") -> None:
        """The run puts a plan before a person, and is suspended."""
        now = self.ledger.now()
        self.ledger.approvals.ask(
            Approval(
                key, run, why.id if why else None, SITE, HIGH.id, ("3 -> 1",), Answer.ASKED, now, now + 15 * MINUTE
            )
        )
        self.ledger.runs.wait(run, key)

    def claims(self, run: str, why: Incident | None, due: timedelta = timedelta(hours=4), site: str = SITE) -> None:
        """The run changed a number, for a while."""
        claimant = Claimant(HIGH.id, Severity.WARNING, self.ledger.now() + due)
        number = self.ledger.changes.intend(
            run,
            why.id if why else None,
            site,
            "scale out",
            Purpose.CHANGE,
            Wish(),
            Diff("2", "5", draft=DRAFT),
            [],
            claimant,
        )
        self.ledger.claims.confirm(number)


def starts(outside: Outside) -> list[tuple[str, str]]:
    """Which deployments were started, for which incident or site."""
    return [(deployment, about.get("incident", about["site"])) for deployment, about in outside.started.values()]
