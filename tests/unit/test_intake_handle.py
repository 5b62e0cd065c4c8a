"""What becomes of alerts, and that none is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.intake.handle import STILL_ON, Fate, Handled, adopt, handle
from deployments.intake.webhook import Alert
from deployments.rules import WATCHDOG
from tasks.ledger import Ledger
from tasks.model.site import Address
from tests.unit.ledgers import Clock, fresh_ledger
from tests.unit.standin import HIGH

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SITE = Address("prod", HIGH.platform.slug(), {"namespace": "bus"})
BY_ALERT = {HIGH.alert: HIGH}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    found = fresh_ledger(Clock(NOW))
    found.directory.keep([SITE])
    yield found
    found.close()


def alert(name: str = HIGH.alert, status: str = "firing", **other: Any) -> Alert:
    labels = {"alertname": name, "namespace": "bus", **other.pop("labels", {})}
    return Alert.model_validate({"status": status, "labels": labels, "startsAt": NOW, **other})


def take(ledger: Ledger, *alerts: Alert, at: datetime = NOW, sites: tuple[Address, ...] = (SITE,)) -> list[Handled]:
    return handle(ledger, BY_ALERT, sites, alerts, at)


def test_each_alert_gets_its_answer_in_the_order_of_the_request(ledger: Ledger) -> None:
    answers = take(
        ledger,
        alert("Strange"),
        alert(),
        alert(labels={"namespace": "x"}),
        alert(WATCHDOG),
        alert(),
        alert("", "resolved"),
    )
    fates = [Fate.NO_RUNBOOK, Fate.OPENED, Fate.NO_SITE, Fate.ALIVE, Fate.FOLDED, Fate.NO_RUNBOOK]
    assert [answer.fate for answer in answers] == fates


@pytest.mark.parametrize(
    ("name", "labels", "why"),
    [("Strange", {}, Fate.NO_RUNBOOK), ("", {}, Fate.NO_RUNBOOK), (HIGH.alert, {"namespace": "x"}, Fate.NO_SITE)],
)
def test_what_nobody_knows_is_kept(ledger: Ledger, name: str, labels: dict[str, str], why: Fate) -> None:
    secret = {**labels, "url": "https://ada:hunter2@example.com/"}
    take(ledger, alert(name, labels=secret, annotations={"summary": "password=hunter2"}))
    (kept,) = ledger.strays.all()
    assert (kept.alert, kept.why) == (name, why.value)
    assert "hunter2" not in f"{kept}"


def test_a_stray_is_taken_up_when_a_site_answers_to_it(ledger: Ledger) -> None:
    take(ledger, alert(annotations={"summary": "900 waiting"}), alert("Strange"), sites=())
    assert adopt(ledger, BY_ALERT, [], NOW) == []
    (taken,) = adopt(ledger, BY_ALERT, [SITE], NOW)
    assert taken.fate is Fate.OPENED
    incident = ledger.incidents.get(taken.incident or "")
    assert incident is not None
    assert (incident.summary, incident.started_at) == ("900 waiting", NOW)
    assert [stray.alert for stray in ledger.strays.all()] == ["Strange"]
    assert adopt(ledger, BY_ALERT, [SITE], NOW) == []


def test_one_that_is_over_or_was_not_heard_of_for_long_is_not_taken_up(ledger: Ledger) -> None:
    take(ledger, alert(labels={"pod": "a"}), alert(labels={"pod": "b"}), sites=())
    take(ledger, alert(status="resolved", labels={"pod": "a"}), sites=())
    assert adopt(ledger, BY_ALERT, [SITE], NOW + STILL_ON) == []
    assert len(adopt(ledger, BY_ALERT, [SITE], NOW)) == 1


def test_one_that_ends_between_a_new_site_and_its_taking_up_is_not_taken_up(ledger: Ledger) -> None:
    take(ledger, alert(), sites=())
    assert [came.fate for came in take(ledger, alert(status="resolved"))] == [Fate.NOT_OPEN]
    assert adopt(ledger, BY_ALERT, [SITE], NOW) == []


def test_one_that_ends_while_it_is_taken_up_leaves_no_incident_open(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(ledger, alert(), sites=())
    listed = ledger.strays.firing()
    take(ledger, alert(status="resolved"))
    monkeypatch.setattr(ledger.strays, "firing", lambda: listed)
    assert [came.fate for came in adopt(ledger, BY_ALERT, [SITE], NOW)] == [Fate.OPENED]
    assert ledger.incidents.of("prod", HIGH.alert) is None
    assert ledger.strays.all() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_however_its_end_and_its_taking_up_meet_no_incident_is_left_open(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The desk and the watch are two threads: one takes the stray up while the other is told that it is over."""
    take(ledger, alert(), sites=())
    receive, met = ledger.incidents.receive, iter([True])

    def received(reports: Any) -> Any:
        meets = next(met, False)
        if meets and when == "before":
            adopt(ledger, BY_ALERT, [SITE], NOW)
        answer = receive(reports)
        if meets and when == "after":
            adopt(ledger, BY_ALERT, [SITE], NOW)
        return answer

    monkeypatch.setattr(ledger.incidents, "receive", received)
    take(ledger, alert(status="resolved"))
    assert ledger.incidents.of("prod", HIGH.alert) is None


def test_a_clock_that_is_ahead_gives_nobody_more_time(ledger: Ledger) -> None:
    take(ledger, alert(startsAt=NOW + timedelta(days=400)))
    assert ledger.incidents.latest()[0].started_at == NOW


@pytest.mark.parametrize(
    ("ends", "closed"),
    [
        (NOW - timedelta(minutes=1), NOW - timedelta(minutes=1)),
        (NOW + timedelta(days=9), NOW),
        ("0001-01-01T00:00:00Z", NOW),
        (None, NOW),
    ],
)
def test_when_an_alert_ended(ledger: Ledger, ends: object, closed: datetime) -> None:
    early = NOW - timedelta(hours=1)
    take(ledger, alert(startsAt=early))
    take(ledger, alert(status="resolved", startsAt=early, endsAt=ends))
    assert ledger.incidents.latest()[0].resolved_at == closed


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-07-20T20:17:00Z"])
def test_moments_at_the_ends_of_time_are_taken(ledger: Ledger, moment: str) -> None:
    assert [one.fate for one in take(ledger, alert(startsAt=moment))] == [Fate.OPENED]


def test_a_sign_of_life_counts_for_the_sites_that_it_speaks_of(ledger: Ledger) -> None:
    take(ledger, alert(WATCHDOG))
    take(ledger, alert(WATCHDOG), at=NOW + timedelta(minutes=1))
    take(ledger, alert(WATCHDOG, "resolved"), at=NOW + timedelta(minutes=2))
    (listed,) = ledger.directory.all()
    assert (listed.heard_before, listed.heard_at) == (NOW, NOW + timedelta(minutes=1))
    assert ledger.incidents.latest() == []
