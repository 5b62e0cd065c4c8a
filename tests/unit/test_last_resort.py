"""Notices of last resort: after a minute, once, again while nobody was reached, and that it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from deployments.intake.health import silence
from deployments.intake.last_resort import LastResort
from tasks import contacts
from tasks.contacts import Channel
from tasks.ledger import Listed
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.site import Address

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
CHANNEL = Channel(kind="webhook", level=1, address=SecretStr("http://127.0.0.1:9/hook"))


class People:
    """Who is told, unless they cannot be reached."""

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.away = False
        self.name = "people"

    def send(self, notice: Notice) -> str:
        if self.away:
            raise ConnectionError("connection refused")
        self.told.append(notice)
        return "sent"

    @property
    def kinds(self) -> list[NoticeKind]:
        return [notice.kind for notice in self.told]


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> People:
    found = People()
    monkeypatch.setattr(contacts.Channel, "notifier", lambda channel: found)
    return found


@pytest.fixture
def last_resort() -> LastResort:
    return LastResort(lambda what: [CHANNEL])


def test_people_are_told_once_after_a_minute_and_when_it_is_over(people: People, last_resort: LastResort) -> None:
    for seconds in (0, 30, 59):
        last_resort.report("Prefect server", "connection refused", NOW + seconds * SECOND)
    assert people.told == []
    for seconds in (60, 90, 600):
        last_resort.report("Prefect server", "connection refused", NOW + seconds * SECOND)
    assert people.kinds == [NoticeKind.AUTOMATION_DOWN]
    assert people.told[0].summary == "connection refused; since 60 s"
    last_resort.report("Prefect server", "", NOW + 20 * MINUTE)
    last_resort.report("Prefect server", "", NOW + 21 * MINUTE)
    assert people.kinds == [NoticeKind.AUTOMATION_DOWN, NoticeKind.RESOLVED]
    assert len({notice.dedup_key for notice in people.told}) == 1


def test_who_is_only_told_is_not_who_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack takes it, and the pager does not: it is tried again."""
    slack, pager = People(), People()
    pager.away = True
    monkeypatch.setattr(contacts.Channel, "notifier", lambda channel: pager if channel.level else slack)
    both = [CHANNEL, CHANNEL.model_copy(update={"level": 0})]
    found = LastResort(lambda what: both)
    for minutes in (0, 1):
        found.report("ledger", "locked", NOW + minutes * MINUTE)
    pager.away = False
    found.report("ledger", "locked", NOW + 2 * MINUTE)
    assert pager.kinds == [NoticeKind.AUTOMATION_DOWN]


def test_what_comes_back_within_a_minute_is_nobody_s_trouble(people: People, last_resort: LastResort) -> None:
    for minute in range(5):
        last_resort.report("ledger", "locked", NOW + minute * MINUTE)
        last_resort.report("ledger", "", NOW + minute * MINUTE + 59 * SECOND)
    assert people.told == []


def test_while_nobody_is_reached_it_is_tried_again_but_not_all_the_time(
    people: People, last_resort: LastResort
) -> None:
    people.away = True
    last_resort.report("ledger", "locked", NOW)
    last_resort.report("ledger", "locked", NOW + MINUTE)
    people.away = False
    last_resort.report("ledger", "locked", NOW + MINUTE + 30 * SECOND)
    assert people.told == []
    last_resort.report("ledger", "locked", NOW + 2 * MINUTE)
    assert people.kinds == [NoticeKind.AUTOMATION_DOWN]


def test_parts_are_told_apart(people: People, last_resort: LastResort) -> None:
    for what in ("ledger", "Prefect server"):
        last_resort.report(what, "down", NOW)
        last_resort.report(what, "down", NOW + MINUTE)
    assert [notice.title for notice in people.told] == ["Runbooks: ledger", "Runbooks: Prefect server"]


@pytest.mark.parametrize(
    ("heard", "before", "silent"),
    [
        (None, None, False),  # never heard: the rule is not installed
        (NOW - 90 * MINUTE, None, False),  # once is no habit
        (NOW - 60 * MINUTE, NOW - 120 * MINUTE, False),  # repeated too seldom to tell anything
        (NOW - 14 * MINUTE, NOW - 15 * MINUTE, False),
        (NOW - 16 * MINUTE, NOW - 17 * MINUTE, True),
    ],
)
def test_when_the_alerting_of_a_site_is_silent(heard: datetime | None, before: datetime | None, silent: bool) -> None:
    listed = Listed(Address("prod", "message-bus"), heard, before)
    assert bool(silence(listed, 15 * MINUTE, NOW)) is silent
