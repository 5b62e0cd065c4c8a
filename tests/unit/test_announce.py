"""Announcing: each incident once, in batches, and again when Prefect did not take it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from deployments.intake import announce
from deployments.intake.announce import Announcer
from tasks.ledger import Ledger
from tasks.model.incident import Incident
from tests.unit.inline import incident
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import HIGH


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    found = fresh_ledger()
    yield found
    found.close()


class Prefect:
    """Takes events, unless it is away."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False
        self.came = threading.Event()

    def send(self, incidents: Sequence[Incident]) -> None:
        if self.away:
            raise ConnectionError("connection refused")
        self.batches.append([one.site for one in incidents])
        self.came.set()


def opened(ledger: Ledger, *sites: str) -> None:
    for site in sites:
        ledger.incidents.open(incident(HIGH, site=site))


def test_all_are_sent_once_in_batches(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "BATCH", 2)
    prefect = Prefect()
    opened(ledger, "a", "b", "c")
    announcer = Announcer(ledger, prefect.send)
    assert announcer.announce_all()
    assert announcer.announce_all()
    assert prefect.batches == [["a", "b"], ["c"]]


def test_what_is_not_taken_is_sent_again_and_why_is_told(ledger: Ledger) -> None:
    prefect = Prefect()
    announcer = Announcer(ledger, prefect.send)
    opened(ledger, "a")
    prefect.away = True
    assert not announcer.announce_all()
    assert "connection refused" in announcer.why
    prefect.away = False
    assert announcer.announce_all()
    assert (prefect.batches, announcer.why) == ([["a"]], "")


def test_a_new_one_is_sent_as_soon_as_it_is_told_of(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "LOOK_SECONDS", 3600.0)
    prefect = Prefect()
    announcer = Announcer(ledger, prefect.send)
    announcer.start()
    try:
        opened(ledger, "a")
        announcer.wake()
        assert prefect.came.wait(20)
    finally:
        announcer.stop()
    assert prefect.batches == [["a"]]
    assert not announcer.alive


def test_it_stops_while_prefect_is_away(ledger: Ledger) -> None:
    prefect = Prefect()
    prefect.away = True
    opened(ledger, "a")
    announcer = Announcer(ledger, prefect.send)
    announcer.start()
    announcer.stop()
    assert not announcer.alive
    assert ledger.incidents.take_unannounced(10), "the next process finds it"
