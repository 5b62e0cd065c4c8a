"""When the event of an incident is sent, and when it is not sent again."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest

from tasks import incidents
from tasks.incidents import UNCLAIMED_FOR, new_incident, raise_incident
from tasks.ledger import Ledger
from tasks.model.incident import Incident, Raiser
from tests.unit.ledgers import fresh_ledger

LONG = UNCLAIMED_FOR + timedelta(seconds=1)


class Prefect:
    """What Prefect was sent, and for which incidents it has runs that wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.waiting: set[str] = set()
        monkeypatch.setattr(incidents, "get_client", lambda **_: nullcontext())
        monkeypatch.setattr(incidents, "announce", lambda _, found, now: self.sent.extend(one.id for one in found))
        monkeypatch.setattr(incidents, "soon_claimed", lambda: frozenset(self.waiting))


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    return Prefect(monkeypatch)


def raised(book: Ledger) -> Incident:
    """The incident of one broken limit, raised once more."""
    incident, _ = raise_incident(
        book,
        new_incident(
            raiser=Raiser.HEALTH_CHECK,
            alert="HighTaskQueueDepth",
            runbook="high_task_queue_depth",
            site="prod",
            severity="warning",
            summary="900 tasks",
            started_at=datetime.now(UTC),
        ),
    )
    return incident


def silent(book: Ledger, incident: Incident, since: timedelta) -> None:
    book.incidents.announced(incident.id, datetime.now(UTC) - since)


def test_a_repeat_is_folded_and_sends_nothing(prefect: Prefect) -> None:
    book = fresh_ledger()
    first = raised(book)
    assert raised(book).id == first.id
    assert prefect.sent == [first.id]


def test_a_lost_event_is_sent_again(prefect: Prefect) -> None:
    book = fresh_ledger()
    first = raised(book)
    silent(book, first, LONG)
    assert raised(book).id == first.id
    assert prefect.sent == [first.id, first.id]


def test_an_event_whose_run_waits_for_a_worker_is_not_lost(prefect: Prefect) -> None:
    book = fresh_ledger()
    first = raised(book)
    prefect.waiting = {first.id}
    silent(book, first, LONG)
    raised(book)
    assert prefect.sent == [first.id]


def test_what_a_run_has_claimed_needs_no_event(prefect: Prefect) -> None:
    book = fresh_ledger()
    first = raised(book)
    silent(book, first, LONG)
    assert book.incidents.claim(first.id, "a run")
    raised(book)
    assert prefect.sent == [first.id]
