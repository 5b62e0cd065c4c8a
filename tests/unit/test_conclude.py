"""How a run begins and ends: who claims the incident, who is called, what is written down, whether it is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import State

from tasks import conclude as module
from tasks import respond
from tasks.conclude import conclude
from tasks.heartbeat import beating
from tasks.ladder import Ending
from tasks.ledger import ChangeState, Held, LedgerUnavailable
from tasks.ledger.locks import Locks
from tasks.ledger.runs import Runs
from tasks.model.change import Diff, Purpose
from tasks.model.escalation import NoticeKind
from tasks.model.outcome import Outcome
from tasks.report import Report
from tasks.systems.prometheus import RuleState
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.standin import CRITICAL, HIGH, SUBJECT, Standin, standin
from tests.unit.watching import Outside
from tests.wishes import Wish

CONTACT = {"kind": "webhook", "level": 1, "address": "http://127.0.0.1:9/hook"}
RECOVERED = Ending(Outcome.RECOVERED, "1 of 1 criteria hold")
FAILED = Ending(Outcome.NOT_RECOVERED, "0 of 1 criteria hold")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """The reports that were put into the Prefect UI."""
    found: list[Report] = []
    monkeypatch.setattr(module, "publish", found.append)
    return found


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, outside: Outside, shown: list[Report]) -> Iterator[InlineCase]:
    """A run with an incident, at a site with somebody to call."""
    why = incident(started_at=datetime.now(UTC) - timedelta(minutes=5))
    found = inline_case(monkeypatch, incident=why, platform=standin(contacts=[CONTACT]))
    yield found
    found.ledger.close()


def is_over(case: InlineCase) -> bool:
    assert case.incident is not None
    found = case.ledger.incidents.get(case.incident.id)
    assert found is not None
    return found.resolved_at is not None


@dataclass(frozen=True)
class Rules:
    """A Prometheus that says how a rule stands, or does not answer."""

    state: str

    def rule(self, alert: str, site: object) -> RuleState:
        if not self.state:
            raise ConnectionError("connection refused")
        return RuleState(self.state, timedelta(0), True, "")


@pytest.mark.parametrize(
    ("state", "outcome", "over"),
    [
        ("firing", Outcome.NOTHING_TO_DO, False),  # it hovers about its limit
        ("pending", Outcome.NOTHING_TO_DO, True),
        ("inactive", Outcome.NOTHING_TO_DO, True),
        ("", Outcome.NOTHING_TO_DO, True),
        ("firing", Outcome.RECOVERED, True),  # which the gate has asked already
    ],
)
def test_one_look_that_found_nothing_ends_no_alert_that_still_fires(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch, state: str, outcome: Outcome, over: bool
) -> None:
    monkeypatch.setattr(Standin, "prometheus", lambda site: Rules(state))
    conclude(case, Ending(outcome, ""))
    assert is_over(case) is over


def test_a_run_that_came_too_late_closes_no_incident_under_the_hands_of_another(case: InlineCase) -> None:
    assert case.incident is not None
    ledger, why = case.ledger, case.incident
    ledger.runs.begin(replace(ledger.runs.latest()[0], id="another"))
    assert ledger.incidents.pick_up(why.id, case.run_id)
    assert ledger.incidents.claim(why.id, "another")
    ledger.incidents.resolve(why.site, why.alert, datetime.now(UTC))  # under its hands the alert is quiet for a while
    conclude(case, Ending(Outcome.STEPPED_ASIDE, "another run has it"))
    assert not is_over(case)


# ---- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.state_type == "FAILED"])
def test_a_failed_run_calls_level_1_with_what_is_left_of_the_time(
    case: InlineCase, outside: Outside, outcome: Outcome
) -> None:
    state = conclude(case, Ending(outcome, "900 wait"))
    (notice,) = outside.told
    assert (notice.kind, notice.level) == (NoticeKind.GATE_FAILED, HIGH.ladder.level(1))
    assert dict(notice.facts) == {
        "verdict": "900 wait",
        "response": "10 of 15 min are left to respond",
        "done": "nothing",
    }
    assert (state.type.value, state.name) == ("FAILED", outcome.value)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.state_type != "FAILED"])
def test_nobody_is_called_about_what_needs_nobody(case: InlineCase, outside: Outside, outcome: Outcome) -> None:
    conclude(case, Ending(outcome, ""))
    assert outside.told == []


def test_an_unknown_effect_is_said_first(case: InlineCase, outside: Outside) -> None:
    number = case.intend("end it", Wish(), Diff("2", "5"), Purpose.CHANGE, None)
    case.ledger.changes.settle(number, ChangeState.EFFECT_UNKNOWN, "the answer was lost")
    conclude(case, FAILED)
    (notice,) = outside.told
    assert notice.kind is NoticeKind.EFFECT_UNKNOWN
    assert "deployment bus/orchestration, replicas: 2 -> 5 (effect unknown)" in dict(notice.facts)["done"]


def test_the_report_is_in_the_ledger_and_in_the_ui_with_who_was_called(case: InlineCase, shown: list[Report]) -> None:
    conclude(case, FAILED)
    run = case.ledger.runs.get("run-1")
    assert run is not None
    assert (run.outcome, run.verdict, run.ended_at is not None) == (Outcome.NOT_RECOVERED, FAILED.verdict, True)
    (report,) = shown
    assert Report.model_validate(run.report) == report
    assert [(call.kind, call.via, call.error) for call in report.calls] == [("failed gate", "webhook (level 1)", "")]


@pytest.mark.parametrize(
    ("outcome", "over"),
    [(outcome, outcome in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO)) for outcome in Outcome],
)
def test_an_incident_is_over_when_it_was_measured_to_be(case: InlineCase, outcome: Outcome, over: bool) -> None:
    conclude(case, Ending(outcome, ""))
    assert is_over(case) is over


def test_an_incident_whose_alert_ended_meanwhile_is_over(case: InlineCase) -> None:
    assert case.ledger.incidents.resolve("prod", HIGH.alert, case.ledger.now()) is not None
    assert not is_over(case)
    conclude(case, FAILED)
    assert is_over(case)


# ---- the beginning -------------------------------------------------------------------------------------------------


@pytest.fixture
def climbed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that went to work."""
    found: list[str] = []

    def climb(case: InlineCase) -> Ending:
        found.append(case.run_id)
        case.hold(SUBJECT)
        return RECOVERED

    monkeypatch.setattr(respond, "climb", climb)
    return found


def begin(case: InlineCase, broken: str = "") -> State[Any]:
    return respond._run(case, broken)


def test_a_run_works_on_its_incident_and_lets_everything_go(case: InlineCase, climbed: list[str]) -> None:
    assert begin(case).name == "Recovered"
    assert (climbed, case.ledger.locks.all()) == (["run-1"], [])


def test_only_one_run_works_on_an_incident(
    case: InlineCase, climbed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = inline_case(monkeypatch, run="run-2", ledger=case.ledger, platform=case.platform)
    other.incident = case.incident
    assert begin(other).name == "SteppedAside"
    assert climbed == []
    assert not is_over(case)


def test_a_run_that_loses_the_ledger_calls_somebody_without_it(
    case: InlineCase, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it was about to call somebody: that is written down, and now it cannot be."""

    def lose(case: InlineCase) -> Ending:
        case.moments.append((datetime(2026, 1, 1, 3, 5, tzinfo=UTC), "orchestration: 5"))

        def gone(*of: object) -> None:
            raise LedgerUnavailable("the ledger postgres fails: password=hunter2 refused")

        for call in ("reading", "writing"):
            monkeypatch.setattr(case.ledger.database, call, gone)
        return FAILED

    monkeypatch.setattr(respond, "climb", lose)
    state = begin(case)
    monkeypatch.undo()
    (notice,) = outside.told
    assert (state.type.value, state.name) == ("FAILED", "NoLedger")
    assert state.message is not None
    assert state.message.startswith("this run is cut off, and changes nothing any more: the ledger postgres fails: ")
    assert state.message.endswith("webhook (level 1): sent")
    assert "hunter2" not in state.message
    assert (notice.kind, notice.level, notice.incident) == (
        NoticeKind.CRASHED,
        HIGH.ladder.level(1),
        case.incident.id if case.incident else "",
    )
    assert dict(notice.facts) == {"changed": "03:05:00 orchestration: 5"}


def test_a_run_stands_aside_for_a_person(
    case: InlineCase, climbed: list[str], outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert case.incident is not None
    case.incident = case.ledger.incidents.take(case.incident.id, "alice")
    state = begin(case)
    assert (state.name, state.message) == ("SteppedAside", "alice has this incident")
    assert (climbed, outside.told) == ([], [])


def test_an_immediate_response_calls_before_anything_is_looked_at(
    outside: Outside, shown: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = inline_case(monkeypatch, incident=incident(CRITICAL), runbook=CRITICAL, platform=standin(contacts=[CONTACT]))
    seen: list[NoticeKind] = []

    def climb(case: InlineCase) -> Ending:
        seen.extend(outside.kinds())
        return RECOVERED

    monkeypatch.setattr(respond, "climb", climb)
    begin(case)
    assert seen == [NoticeKind.RESPONSE_DUE]
    case.ledger.close()


def test_without_a_ledger_the_diagnosis_runs_and_no_change_is_made(
    case: InlineCase, climbed: list[str], outside: Outside
) -> None:
    state = begin(case, broken="the ledger prod.db fails: disk I/O error")
    assert (state.name, outside.kinds()) == ("Refused", [NoticeKind.GATE_FAILED])
    assert state.message == "no change is made without a ledger: the ledger prod.db fails: disk I/O error"


# ---- the sign of life ----------------------------------------------------------------------------------------------


def test_a_run_that_lives_renews_what_it_holds(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed, wanted = threading.Event(), Locks.renew

    def renew(self: Locks, held: Sequence[Held], run: str, lease: timedelta) -> bool:
        done = wanted(self, held, run, timedelta(hours=1))
        renewed.set()
        return done

    monkeypatch.setattr(Locks, "renew", renew)
    case.hold(SUBJECT)
    (before,) = case.ledger.locks.all()
    with beating(case.ledger, case.facts, timedelta(seconds=0.03)):
        assert renewed.wait(20)
    (after,) = case.ledger.locks.all()
    assert after.expires_at - before.expires_at > timedelta(minutes=50)


def test_a_beat_that_fails_is_followed_by_another(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()
    tried: list[str] = []

    def beat(self: Runs, id: str) -> None:
        tried.append(id)
        if len(tried) < 3:
            raise LedgerUnavailable("the disk is full")
        beaten.set()

    monkeypatch.setattr(Runs, "beat", beat)
    with beating(case.ledger, case.facts, timedelta(seconds=0.03)):
        assert beaten.wait(20)
