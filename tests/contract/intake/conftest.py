"""An intake over HTTP: the real application on a real ledger. Only Prefect is outside, and takes every event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from deployments.intake.announce import Announcer
from deployments.intake.app import create_app
from deployments.intake.belonging import Belonging
from deployments.intake.intake import Intake
from deployments.intake.sitebook import SiteBook
from flows.catalogue import RUNBOOKS
from flows.message_bus.platform import MessageBus
from tasks.contacts import Channel
from tasks.installation import WrongLedger
from tasks.ledger import Ledger
from tasks.model.incident import Incident
from tasks.settings import Settings
from tasks.sites import Saved, Site

TOKEN = "right-token"  # noqa: S105, it opens nothing but these tests
LABELS = {"namespace": "bus"}


@dataclass
class Prefect:
    """What is outside: it has the sites and takes the events, unless it is away."""

    sites: list[Site] = field(default_factory=list)
    away: bool = False
    events: list[Incident] = field(default_factory=list)
    ledger: str = ""  # the identity of the ledger that it knows as the installation's

    def read(self) -> Saved:
        self._reach()
        return Saved(tuple(self.sites))

    def send(self, incidents: Sequence[Incident]) -> None:
        self._reach()
        self.events.extend(incidents)

    def compare(self, ledger: Ledger) -> None:
        self._reach()
        if self.ledger not in ("", ledger.identity):
            raise WrongLedger("this is not the ledger of the installation")

    def _reach(self) -> None:
        if self.away:
            raise httpx.ConnectError("connection refused")


@dataclass(frozen=True)
class Place:
    """One installation: its ledger and what is outside. `intake` is a new process there, as far as it matters."""

    url: str
    prefect: Prefect

    def intake(self, **settings: Any) -> tuple[Ledger, Intake]:
        ledger = Ledger(self.url)
        book = SiteBook(ledger, self.prefect.read, fresh=0)
        announcer = Announcer(ledger, self.prefect.send)
        belonging = Belonging(ledger, self.prefect.compare)
        return ledger, Intake(ledger, RUNBOOKS, Settings(ledger=self.url, **settings), book, announcer, belonging)


def bus(**settings: Any) -> MessageBus:
    """A site that answers to these tests' alerts."""
    contacts = settings.pop("contacts", [])
    return MessageBus(namespace="bus", alert_labels=LABELS, contacts=contacts, **settings)


def hook(url: str) -> Channel:
    """Somebody who is called first."""
    return Channel(kind="webhook", level=1, address=SecretStr(url))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path / 'ledger.db'}", Prefect([Site("prod", bus())]))


@pytest.fixture
def served(place: Place) -> Iterator[tuple[TestClient, Intake, Ledger]]:
    """A client with the right token, the intake, and its ledger."""
    ledger, intake = place.intake()
    with closing(ledger), TestClient(create_app(intake, SecretStr(TOKEN))) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client, intake, ledger


@pytest.fixture
def client(served: tuple[TestClient, Intake, Ledger]) -> TestClient:
    return served[0]


@pytest.fixture
def ledger(served: tuple[TestClient, Intake, Ledger]) -> Ledger:
    return served[2]


def alert(name: str = "HighTaskQueueDepth", status: str = "firing", **other: Any) -> dict[str, Any]:
    """An alert of our site, as Alertmanager sends it."""
    labels = {"alertname": name, **LABELS, **other.pop("labels", {})}
    return {"status": status, "labels": labels, "annotations": {}, "startsAt": datetime.now(UTC).isoformat(), **other}


def batch(*alerts: dict[str, Any], **other: Any) -> dict[str, Any]:
    """One call of the webhook."""
    return {"version": "4", "receiver": "runbooks", "groupKey": "{}", "alerts": list(alerts), **other}
