"""One change being made: written down first, made once, checked, and by nobody who lost his lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.case import Planned
from tasks.ledger import ChangeState, Claimant, ClaimState
from tasks.making import Making
from tasks.model.change import Purpose
from tasks.model.outcome import Severity
from tasks.model.refusal import Refusal
from tasks.model.target import Target
from tests.unit.inline import InlineCase
from tests.unit.makings import at, claims, kinds, make, states
from tests.unit.standin import Number, at_least, nothing, somebody_writes, touched

LOST = ConnectionResetError("the answer was lost")
FORBIDDEN = ApiException(status=403, reason="Forbidden")
ORCHESTRATION = Target("deployment", "bus", "orchestration")


# ---- it works -------------------------------------------------------------------------------------------------------


def test_a_change_is_made_once_and_checked(case: InlineCase) -> None:
    number = Number()
    making, state = make(case, at_least(number))
    assert (state.is_completed(), making.reached, making.refused) == (True, True, None)
    assert number.writes == [5]
    (record,) = case.ledger.changes.of_run("run-1")
    assert (record.state, record.before, record.after, record.detail) == (ChangeState.IN_EFFECT, "2", "5", "reads 5")
    assert kinds(case) == ["changed", "in effect"]
    assert case.changed
    assert [what for _, what in case.moments] == ["deployment bus/orchestration, replicas: 5"]


def test_the_intent_is_in_the_ledger_before_the_target_is_touched(case: InlineCase) -> None:
    seen: list[tuple[ChangeState, str, str]] = []

    def look(number: Number) -> None:
        seen.extend((c.state, c.before, c.after) for c in case.ledger.changes.of_run("run-1"))

    make(case, at_least(Number(before_write=[look])))
    assert seen == [(ChangeState.INTENDED, "2", "5")]


def test_the_claim_is_in_the_ledger_before_the_target_is_touched_and_open_after(case: InlineCase) -> None:
    seen: list[tuple[str, ClaimState]] = []
    make(case, at_least(Number(before_write=[lambda number: seen.extend(claims(case))])))
    assert seen == [("at least 5", ClaimState.INTENDED)]
    assert claims(case) == [("at least 5", ClaimState.OPEN)]
    (holding,) = case.ledger.claims.holdings("prod")
    assert (holding.baseline, holding.written, holding.pending) == ({"value": 2}, {"value": 5}, None)


def test_the_target_is_locked_before_it_is_written(case: InlineCase) -> None:
    seen: list[str] = []

    def look(number: Number) -> None:
        seen.extend(f"{lock.run} {lock.target}" for lock in case.ledger.locks.all())

    change = at_least(Number(before_write=[look]), name="worker")
    make(case, change)
    assert seen == ["run-1 deployment bus/orchestration", "run-1 deployment bus/worker"], "what it treats, and this"


def test_what_is_as_wanted_is_left_alone(case: InlineCase) -> None:
    number = Number(8)
    making, state = make(case, at_least(number))
    assert (state.is_completed(), making.reached, case.changed) == (True, False, False)
    assert (number.writes, states(case), claims(case)) == ([], [], [])


# ---- guards, again, at the moment of acting -------------------------------------------------------------------------


def test_a_pause_between_plan_and_act_counts(case: InlineCase) -> None:
    def pause(number: Number) -> None:
        case.ledger.pauses.pause("", "deploy", "alice")

    number = Number(on_read=[nothing, pause])
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.PAUSED
    assert (number.writes, states(case)) == ([], [ChangeState.REFUSED])


def test_a_pause_between_two_attempts_counts(case: InlineCase) -> None:
    def pause(number: Number) -> None:
        case.ledger.pauses.pause("", "deploy", "alice")
        touched(number)

    number = Number(before_write=[pause])
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert (number.writes, states(case), claims(case)) == (
        [],
        [ChangeState.REFUSED],
        [("at least 5", ClaimState.WITHDRAWN)],
    )


def test_a_change_that_would_do_something_else_than_planned_is_refused(case: InlineCase) -> None:
    number = Number()
    change = at_least(number)
    making = Making(case, "scale out", Planned(change, replace(change.diff(), after="4"), None, ""))
    case.start("mitigate", "mitigate: it", making.attempt)
    assert making.refused is not None
    assert making.refused.refusal is Refusal.STALE_PLAN
    assert number.writes == []


# ---- locks, and processes that were halted --------------------------------------------------------------------------


def take_over(case: InlineCase) -> None:
    """A graver run takes the target."""
    case.ledger.locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [ORCHESTRATION])


def test_a_lock_lost_between_check_and_intent_writes_nothing(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    number = Number()
    at(monkeypatch, "before intend", lambda: take_over(case))
    making, state = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.SUPERSEDED
    assert "critical_waiting (critical, run run-2) took it over" in str(state.message)
    assert (number.writes, states(case), claims(case)) == ([], [ChangeState.REFUSED], [])


def test_a_lock_lost_before_the_check_writes_nothing(case: InlineCase) -> None:
    number = Number()
    case.hold(ORCHESTRATION)
    take_over(case)
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.SUPERSEDED
    assert number.writes == []


def test_a_target_that_another_run_has_is_not_written(case: InlineCase) -> None:
    take_over(case)
    number = Number()
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.BUSY
    assert (number.writes, states(case)) == ([], [ChangeState.REFUSED])


def test_a_lock_that_was_gone_and_came_back_is_not_the_same(case: InlineCase) -> None:
    """Whoever had it in between may have changed everything."""
    case.hold(ORCHESTRATION)
    take_over(case)
    case.ledger.locks.release("run-2")
    number = Number()
    making, _ = make(case, at_least(number, name="worker"))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.SUPERSEDED
    assert number.writes == []


def test_a_process_halted_between_intent_and_write_writes_nothing(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP, or a virtual machine moved: the lease ran out meanwhile, and another run may have the target."""
    asleep = timedelta(0)
    began = case.began

    def clock() -> float:
        return began + asleep.total_seconds()

    def sleep() -> None:
        nonlocal asleep
        asleep = case.lease / 2 + timedelta(seconds=0.1)

    monkeypatch.setattr("tasks.making.time.monotonic", clock)
    at(monkeypatch, "intended", sleep)
    number = Number()
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.SUPERSEDED
    assert (number.writes, states(case), claims(case)) == (
        [],
        [ChangeState.REFUSED],
        [("at least 5", ClaimState.WITHDRAWN)],
    )


# ---- two runs on one field ------------------------------------------------------------------------------------------


def another(case: InlineCase, number: Number) -> int:
    """Another run is about to claim at least 5. The number of its change."""
    change = at_least(number)
    claimant = Claimant("queue_high", Severity.WARNING, case.ledger.now())
    return case.ledger.changes.intend(
        "run-0", None, "prod", "scale out", Purpose.CHANGE, change, change.diff(), (), claimant
    )


def states_of_both(case: InlineCase) -> list[ClaimState]:
    return [claim.state for run in ("run-0", "run-1") for claim in case.ledger.claims.of_run(run)]


def test_what_was_read_before_another_run_wrote_passes_for_no_person_s_value(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = Number()
    other = another(case, number)

    def arrives() -> None:
        number.set(5)
        case.ledger.claims.confirm(other)

    at(monkeypatch, "before intend", arrives)
    make(case, at_least(number, 10))
    assert number.writes == [10]
    assert states_of_both(case) == [ClaimState.OPEN, ClaimState.OPEN]
    (holding,) = case.ledger.claims.holdings("prod")
    assert (holding.baseline, holding.written) == ({"value": 2}, {"value": 10})


def test_a_floor_that_a_graver_run_raises_meanwhile_is_in_effect(case: InlineCase) -> None:
    _, state = make(case, at_least(Number(on_verify=[somebody_writes(10)])))
    assert (state.is_completed(), states(case)) == (True, [ChangeState.IN_EFFECT])


def test_a_floor_that_somebody_undercuts_meanwhile_is_not_in_effect(case: InlineCase) -> None:
    _, state = make(case, at_least(Number(on_verify=[somebody_writes(3)])))
    assert (state.is_failed(), states(case)) == (True, [ChangeState.FAILED])


def test_what_a_person_set_is_left_to_the_person(case: InlineCase) -> None:
    number = Number()
    case.ledger.claims.confirm(another(case, number))
    number.set(7)
    make(case, at_least(number, 10))
    assert number.writes == [10]
    assert states_of_both(case) == [ClaimState.LEFT, ClaimState.OPEN]
    (holding,) = case.ledger.claims.holdings("prod")
    assert holding.baseline == {"value": 7}
