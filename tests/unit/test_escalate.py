"""People are called once per matter, and one channel that fails keeps no other from being told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tasks import contacts, failpoint
from tasks.contacts import Channel
from tasks.escalate import (
    NOBODY,
    TOLD_ALREADY,
    Matter,
    call_who_is_due,
    run_page,
    tell,
    tell_who_was_called,
    time_left,
    was_called,
)
from tasks.ledger import Ledger
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.incident import Incident
from tasks.model.outcome import Severity
from tasks.runbook import AnyRunbook
from tests.unit.inline import incident
from tests.unit.ledgers import Clock, fresh_ledger
from tests.unit.standin import CRITICAL, HIGH, Standin, standin

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MATTER = Matter("prod", HIGH, Severity.WARNING, "incident-1", "run-1")
LEVEL_1 = HIGH.ladder.level(1)


@dataclass
class Receiver:
    """Whoever is behind the channels: what reached which, and which do not take anything."""

    got: list[tuple[str, Notice]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def kinds(self) -> list[tuple[str, NoticeKind, int]]:
        return [(name, notice.kind, notice.level.number if notice.level else 0) for name, notice in self.got]


@dataclass
class Notifier:
    """One channel's client."""

    name: str
    receiver: Receiver

    def send(self, notice: Notice) -> str:
        """Sends it."""
        if self.name in self.receiver.away:
            raise httpx.ConnectError("connection refused")
        self.receiver.got.append((self.name, notice))
        return "sent"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    found = fresh_ledger(clock)
    yield found
    found.close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    found = Receiver()
    monkeypatch.setattr(contacts.Channel, "notifier", lambda channel: Notifier(channel.name, found))
    return found


def site(*levels: int) -> Standin:
    """A site with a webhook for each of these levels."""
    address = "http://127.0.0.1:9/hook"
    return standin(
        contacts=[Channel.model_validate({"kind": "webhook", "level": n, "address": address}) for n in levels]
    )


def told(ledger: Ledger, platform: Standin, kind: NoticeKind = NoticeKind.GATE_FAILED, level: int = 1) -> str:
    return tell(
        ledger,
        platform,
        MATTER,
        kind,
        HIGH.ladder.level(level) if level else None,
        "900 wait",
        NOW,
        {"done": "nothing"},
    )


# ---- telling -------------------------------------------------------------------------------------------------------


def test_the_channels_of_the_level_and_those_that_are_told_everything(ledger: Ledger, receiver: Receiver) -> None:
    said = told(ledger, site(0, 1, 2))
    assert [name for name, _ in receiver.got] == ["webhook", "webhook (level 1)"]
    assert said == "failed gate to level 1, On-call: webhook: sent; webhook (level 1): sent"


def test_a_call_that_reached_only_those_who_are_told_everything_is_made_again(
    ledger: Ledger, clock: Clock, receiver: Receiver
) -> None:
    platform, kind = site(0, 1), NoticeKind.GATE_FAILED
    receiver.away = {"webhook (level 1)"}
    told(ledger, platform)
    assert not was_called(ledger, platform, MATTER, kind), "it was told, and nobody was called"
    receiver.away = set()
    clock.turn(timedelta(minutes=1))
    told(ledger, platform)
    assert [name for name, _ in receiver.got] == ["webhook", "webhook (level 1)"], "and nobody is told twice"
    assert was_called(ledger, platform, MATTER, kind)
    clock.turn(timedelta(hours=1))
    assert TOLD_ALREADY in told(ledger, platform)


def test_where_a_level_has_no_channel_of_its_own_those_that_are_told_everything_have_to_do(
    ledger: Ledger, clock: Clock, receiver: Receiver
) -> None:
    told(ledger, site(0))
    assert was_called(ledger, site(0), MATTER, NoticeKind.GATE_FAILED)
    clock.turn(timedelta(hours=1))
    assert TOLD_ALREADY in told(ledger, site(0))


def test_what_they_are_told(ledger: Ledger, receiver: Receiver) -> None:
    told(ledger, site(1))
    ((_, notice),) = receiver.got
    assert (notice.title, notice.summary, notice.severity) == ("Many wait at prod", "900 wait", Severity.WARNING)
    assert notice.dedup_key == "runbooks/incident/incident-1", "one matter, one alert at the receiver"
    assert (notice.incident, notice.runbook, notice.facts) == ("incident-1", HIGH.id, (("done", "nothing"),))


def test_a_run_without_an_incident_is_a_matter_of_its_own() -> None:
    matter = replace(MATTER, incident="")
    assert (matter.key, matter.id) == ("runbooks/run/run-1", "run-1")


def test_once_per_matter_kind_and_level(ledger: Ledger, receiver: Receiver) -> None:
    platform = site(0, 1, 2)
    assert "told already" not in told(ledger, platform)
    assert told(ledger, platform) == "failed gate: told already"
    told(ledger, platform, NoticeKind.CRASHED)
    told(ledger, platform, level=2)
    tell(ledger, platform, replace(MATTER, incident="incident-2"), NoticeKind.GATE_FAILED, LEVEL_1, "", NOW)
    assert len(receiver.got) == 8


def test_two_processes_that_find_out_at_once_call_once(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one asks while the first is about to send."""
    platform, said = site(1), []

    def reach(point: str) -> None:
        if point == "before tell":
            said.append(told(ledger, platform))

    monkeypatch.setattr(failpoint, "reach", reach)
    told(ledger, platform)
    assert said == ["failed gate: told already"]
    assert len(receiver.got) == 1


def test_no_contacts_are_recorded_once_and_said_every_time(ledger: Ledger, clock: Clock) -> None:
    for _ in range(3):
        assert told(ledger, site()) == f"failed gate: {NOBODY}"
        clock.turn(timedelta(minutes=5))
    (page,) = ledger.pages.of("incident-1")
    assert (page.kind, page.level, page.via, page.error) == ("failed gate", 1, "", NOBODY)


def test_contacts_that_were_added_are_told_what_nobody_could_be(ledger: Ledger, receiver: Receiver) -> None:
    told(ledger, site())
    told(ledger, site(1))
    assert len(receiver.got) == 1


def test_a_channel_that_fails_keeps_no_other_from_being_told(ledger: Ledger, receiver: Receiver) -> None:
    receiver.away.add("webhook")
    said = told(ledger, site(0, 1))
    assert [name for name, _ in receiver.got] == ["webhook (level 1)"]
    assert "webhook was not reached: the server cannot be reached: connection refused" in said
    assert [(page.via, bool(page.error)) for page in ledger.pages.of("incident-1")] == [
        ("webhook", True),
        ("webhook (level 1)", False),
    ]


def test_when_nobody_was_reached_it_is_tried_again_after_a_minute(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    receiver.away.add("webhook (level 1)")
    told(ledger, site(1))
    receiver.away.clear()
    clock.turn(timedelta(seconds=59))
    assert told(ledger, site(1)) == "failed gate: told already"
    clock.turn(timedelta(seconds=2))
    told(ledger, site(1))
    assert len(receiver.got) == 1


def test_a_caller_that_was_killed_before_it_called_is_replaced(
    ledger: Ledger, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As `kill -9`."""

    def kill(point: str) -> None:
        if point == "before tell":
            raise Killed

    monkeypatch.setattr(failpoint, "reach", kill)
    with pytest.raises(Killed):
        told(ledger, site(1))
    monkeypatch.setattr(failpoint, "reach", lambda point: None)
    clock.turn(timedelta(seconds=61))
    told(ledger, site(1))
    assert len(receiver.got) == 1


def test_a_channel_whose_address_is_none_is_said_without_the_address(ledger: Ledger) -> None:
    broken = standin(contacts=[{"kind": "slack", "level": 1, "address": "hooks.example/T0/B0/hunter2"}])
    said = told(ledger, broken)
    assert "was not reached" in said
    assert "hunter2" not in f"{said}{ledger.pages.of('incident-1')}"


# ---- when ----------------------------------------------------------------------------------------------------------


def raised(runbook: AnyRunbook = HIGH) -> Incident:
    return incident(runbook, started_at=NOW)


# runbook, minutes after its beginning -> the levels that are called
DUE: list[tuple[AnyRunbook, float, list[int]]] = [
    (HIGH, 0, []),
    (HIGH, 14.9, []),
    (HIGH, 15, [1]),
    (HIGH, 29, [1]),
    (HIGH, 30, [1, 2]),
    (HIGH, 600, [1, 2]),
    (CRITICAL, 0, [1]),
    (CRITICAL, 30, [1, 2]),
]


@pytest.mark.parametrize(("runbook", "minutes", "levels"), DUE)
def test_which_levels_are_called_by_then(
    ledger: Ledger, receiver: Receiver, runbook: AnyRunbook, minutes: float, levels: list[int]
) -> None:
    now = NOW + timedelta(minutes=minutes)
    why = raised(runbook)
    for _ in range(3):
        call_who_is_due(ledger, site(1, 2, 3), runbook, why, now)
    assert [level for _, _, level in receiver.kinds()] == levels


@pytest.mark.parametrize("state", [{"taken_by": "alice"}, {"resolved_at": NOW}])
def test_nobody_is_called_about_what_a_person_has_or_what_is_over(
    ledger: Ledger, receiver: Receiver, state: dict[str, object]
) -> None:
    why = replace(raised(), **state)  # type: ignore[arg-type]
    assert call_who_is_due(ledger, site(1, 2), HIGH, why, NOW + timedelta(hours=1)) == []
    assert receiver.got == []


def test_those_who_were_called_are_told_when_it_is_over_and_nobody_else(ledger: Ledger, receiver: Receiver) -> None:
    platform, why = site(1, 2), replace(raised(), taken_by="alice")
    tell_who_was_called(ledger, platform, HIGH, why, NoticeKind.TAKEN, NOW)
    assert receiver.got == [], "nobody was called"
    call_who_is_due(ledger, platform, HIGH, replace(why, taken_by=None), NOW + timedelta(minutes=20))
    for _ in range(2):
        tell_who_was_called(ledger, platform, HIGH, why, NoticeKind.TAKEN, NOW)
        tell_who_was_called(ledger, platform, HIGH, why, NoticeKind.RESOLVED, NOW)
    assert receiver.kinds() == [
        ("webhook (level 1)", NoticeKind.RESPONSE_DUE, 1),
        ("webhook (level 1)", NoticeKind.TAKEN, 1),
        ("webhook (level 1)", NoticeKind.RESOLVED, 1),
    ]
    assert receiver.got[1][1].summary == "alice has it"


# ---- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (0, "15 of 15 min are left to respond"),
        (10, "5 of 15 min are left to respond"),
        (15, "none of the response time is left"),
        (60, "none of the response time is left"),
    ],
)
def test_what_is_left_of_the_response_time(after: float, words: str) -> None:
    assert time_left(HIGH, raised(), NOW + timedelta(minutes=after)) == words


def test_a_run_that_a_person_started_has_no_response_time() -> None:
    assert time_left(HIGH, None, NOW) == "no response time: started by a person"


def test_no_link_where_the_address_of_the_ui_is_not_known() -> None:
    assert run_page("") == ""
