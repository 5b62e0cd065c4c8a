"""What the guards know is what the ledger says at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from tasks import facts
from tasks.guards import Facts
from tasks.ledger import ChangeState
from tasks.model.change import Change, Diff, Purpose, Surroundings
from tasks.model.claim import Draft
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tests.unit.inline import InlineCase, begin, incident, inline_case
from tests.unit.standin import SUBJECT
from tests.unit.wishes import DRAFT
from tests.wishes import ORCHESTRATION, Wish

DIFF = Diff("2", "5", draft=DRAFT)
RESTART = Wish(field="rollout", wanted="restarted")
NOT_ARRIVED = (ChangeState.REFUSED, ChangeState.FAILED, ChangeState.NOT_NEEDED)
MAY_HAVE_ARRIVED = (ChangeState.INTENDED, ChangeState.APPLIED, ChangeState.IN_EFFECT, ChangeState.EFFECT_UNKNOWN)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineCase]:
    found = inline_case(monkeypatch, incident=incident())
    yield found
    found.ledger.close()


def another(case: InlineCase, monkeypatch: pytest.MonkeyPatch, run: str, *, same_incident: bool = False) -> InlineCase:
    """Another run, on behalf of another incident or of none."""
    if not same_incident:
        return inline_case(monkeypatch, ledger=case.ledger, run=run)
    begin(case.ledger, run, incident=case.incident)
    other = inline_case(monkeypatch, ledger=case.ledger, run=run)
    other.incident, other.facts.incident = case.incident, case.facts.incident
    return other


def made(case: InlineCase, change: Change, state: ChangeState, diff: Diff | None = None) -> None:
    """The run of the case made this change, so far."""
    number = case.intend("an option", change, diff or Diff("2", "5"), Purpose.CHANGE, None)
    case.ledger.changes.settle(number, state, "")


def test_they_are_the_facts_that_the_guards_ask_for(case: InlineCase) -> None:
    facts: Facts = case.facts
    assert facts.now() == pytest.approx(case.ledger.now(), abs=timedelta(minutes=1))


def test_a_person_who_has_the_incident_has_it_until_it_is_handed_back_or_over(case: InlineCase) -> None:
    assert case.incident is not None
    assert case.facts.taken_by() == ""
    case.ledger.incidents.take(case.incident.id, "alice")
    assert case.facts.taken_by() == "alice"
    case.ledger.incidents.hand_back(case.incident.id)
    assert case.facts.taken_by() == ""
    case.ledger.incidents.take(case.incident.id, "alice")
    case.ledger.incidents.close(case.incident.id, case.ledger.now())
    assert case.facts.taken_by() == "", "what was changed on its behalf may be given back"


def test_a_run_without_an_incident_has_nobody_to_stand_aside_for(monkeypatch: pytest.MonkeyPatch) -> None:
    case = inline_case(monkeypatch)
    assert case.facts.taken_by() == ""
    case.ledger.close()


def test_another_holder_of_a_target(case: InlineCase) -> None:
    locks = case.ledger.locks
    case.hold()
    assert case.facts.other_holder(SUBJECT) is None, "we have it"
    locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [SUBJECT])
    assert case.facts.other_holder(SUBJECT) == ("critical_waiting", Severity.CRITICAL)
    assert case.facts.other_holder(Target("deployment", "bus", "other")) is None
    locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [SUBJECT], lease=timedelta(0))
    assert case.facts.other_holder(SUBJECT) is None, "its lease ran out"


def test_a_lock_that_was_lost(case: InlineCase) -> None:
    assert case.facts.lost() == "", "nothing was held yet"
    case.hold()
    assert case.facts.lost() == ""
    case.ledger.locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [SUBJECT])
    assert "took it over" in case.facts.lost()
    case.let_go()
    assert case.facts.lost() == ""


def test_a_lease_that_ran_out_is_lost(case: InlineCase) -> None:
    case.facts.held[:] = case.ledger.locks.acquire(
        "run-1", case.runbook.id, case.severity, "prod", [SUBJECT], lease=timedelta(0)
    )
    assert "its lease ran out" in case.facts.lost()


def test_an_incident_that_was_given_to_another_run_is_lost(case: InlineCase) -> None:
    """This run was taken for dead, and another one has been started."""
    assert case.incident is not None
    assert case.ledger.incidents.pick_up(case.incident.id, "run-1")
    assert case.facts.lost() == "", "nobody has it yet"
    assert case.ledger.incidents.claim(case.incident.id, "run-2")
    assert case.facts.lost() == "the incident was given to another run"


# ---- what was done before ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(ChangeState))
def test_what_was_done_on_behalf_of_this_incident(case: InlineCase, state: ChangeState) -> None:
    assert case.facts.done_before(RESTART) is None
    made(case, RESTART, state)
    assert (case.facts.done_before(RESTART) is not None) is (state in MAY_HAVE_ARRIVED)
    assert case.facts.last_done(RESTART) is None, "our own work cools nothing down"
    assert (state in MAY_HAVE_ARRIVED) is not (state in NOT_ARRIVED)


def test_the_same_means_target_field_and_what_is_wanted(case: InlineCase) -> None:
    made(case, RESTART, ChangeState.IN_EFFECT)
    for other in (
        replace(RESTART, target=Target("deployment", "bus", "other")),
        replace(RESTART, field="replicas"),
        replace(RESTART, wanted="restarted, for another reason"),
    ):
        assert case.facts.done_before(other) is None


def test_what_a_run_before_us_did_for_the_same_incident_is_ours(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(case, RESTART, ChangeState.INTENDED)
    next_run = another(case, monkeypatch, "run-2", same_incident=True)
    assert next_run.facts.done_before(RESTART) is not None
    assert next_run.facts.last_done(RESTART) is None


def test_what_others_did_cools_down(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    other = another(case, monkeypatch, "run-2")
    made(other, RESTART, ChangeState.IN_EFFECT)
    assert case.facts.last_done(RESTART) == pytest.approx(case.ledger.now(), abs=timedelta(minutes=1))
    assert case.facts.done_before(RESTART) is None
    case.facts.cooldown = timedelta(0)
    assert case.facts.last_done(RESTART) is None


def test_a_restore_finds_its_own_attempts(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """It acts for an incident that is over, and what it does is on behalf of none."""
    restore = another(case, monkeypatch, "run-2")
    restore.facts.incident = case.facts.incident
    assert restore.incident is None
    restore.intend("give back", RESTART, Diff("1", "2"), Purpose.RESTORE, None)
    assert restore.facts.done_before(RESTART) is not None


# ---- counting ------------------------------------------------------------------------------------------------------


def test_changes_of_the_hour_are_those_of_the_whole_site(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = case.ledger.now() - timedelta(hours=1)
    made(case, RESTART, ChangeState.IN_EFFECT)
    made(another(case, monkeypatch, "run-2"), RESTART, ChangeState.APPLIED)
    made(case, RESTART, ChangeState.REFUSED)
    assert case.facts.changes_since(hour, Wish()) == 2
    assert case.facts.changes_since(case.ledger.now(), Wish()) == 0


def test_the_change_that_is_being_made_is_no_other(case: InlineCase) -> None:
    hour = case.ledger.now() - timedelta(hours=1)
    made(case, RESTART, ChangeState.INTENDED)
    assert case.facts.changes_since(hour, RESTART) == 0
    assert case.facts.changes_since(hour, Wish()) == 1


def test_members_of_a_group_that_were_taken(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(number: int) -> Wish:
        return Wish(target=Target("task", "bus", str(number)), wanted="cancelled")

    running = Diff("running", "cancelled", around=Surroundings(group="running tasks", group_size=9))
    made(case, end(1), ChangeState.IN_EFFECT, running)
    made(another(case, monkeypatch, "run-2", same_incident=True), end(2), ChangeState.INTENDED, running)
    made(another(case, monkeypatch, "run-3"), end(3), ChangeState.IN_EFFECT, running)
    made(case, end(4), ChangeState.REFUSED, running)
    taken = case.facts.members_taken
    assert taken("running tasks", end(5).target) == 2
    assert taken("running tasks", end(1).target) == 1, "the same one once more"
    assert taken("pods", end(5).target) == 0


# ---- what we wrote -------------------------------------------------------------------------------------------------


def test_a_number_is_ours_when_we_wrote_it_or_were_about_to(case: InlineCase) -> None:
    def ours(value: int) -> bool:
        return case.facts.written(Draft(ORCHESTRATION, "replicas", None, {"replicas": value}, {"replicas": 2}))

    assert not ours(2)
    number = case.intend("scale out", Wish(), DIFF, Purpose.CHANGE, None)
    assert [ours(value) for value in (2, 5, 7)] == [True, True, False], "nobody knows yet whether it arrived"
    case.ledger.claims.confirm(number)
    assert [ours(value) for value in (2, 5, 7)] == [False, True, False]


# ---- a Prefect server that does not answer -------------------------------------------------------------------------


class Away:
    """The kill switch while the Prefect server is away until some moment of a clock that sleeping turns."""

    def __init__(self, until: float, error: Exception) -> None:
        self.time, self._until, self._error = 0.0, until, error

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def paused(self, ledger: object, site: str) -> str:
        if self.time < self._until:
            raise self._error
        return "by ada"


def away(case: InlineCase, monkeypatch: pytest.MonkeyPatch, until: float, error: Exception) -> Away:
    found = Away(until, error)
    monkeypatch.setattr(facts, "time", found)
    monkeypatch.setattr(facts, "switch", found)
    return found


def test_a_server_that_starts_again_is_waited_for(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = away(case, monkeypatch, 12, httpx.ConnectError("refused"))
    assert case.facts.paused() == "by ada"
    assert clock.time == 12


def test_it_is_waited_for_only_once(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many writes are asked for, a person is called within the minute."""
    clock = away(case, monkeypatch, 1e9, httpx.ConnectError("refused"))
    for _ in range(3):
        with pytest.raises(httpx.ConnectError):
            case.facts.paused()
    assert clock.time == facts.AWAY_SECONDS


def test_after_an_answer_there_is_new_patience(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    away(case, monkeypatch, facts.AWAY_SECONDS - 1, httpx.ConnectError("refused"))
    case.facts.paused()
    later = away(case, monkeypatch, 20, httpx.ConnectError("refused"))
    assert case.facts.paused() == "by ada"
    assert later.time == 20


@pytest.mark.parametrize(
    ("error", "told"), [(PermissionError("may not be read"), False), (httpx.ConnectError("refused"), True)]
)
def test_what_time_does_not_mend_is_not_waited_for(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch, error: Exception, told: bool
) -> None:
    """Neither a switch that may not be read, nor for a run that was told to end."""
    clock = away(case, monkeypatch, 5, error)
    case.facts.told_to_end = told
    with pytest.raises(type(error)):
        case.facts.paused()
    assert clock.time == 0
