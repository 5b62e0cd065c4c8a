"""A change that meets trouble: others write, answers get lost, the target refuses, the ledger fails."""

from __future__ import annotations

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.ledger import ChangeState, ClaimState, LedgerUnavailable
from tasks.ledger.changes import Changes
from tasks.ledger.claims import Claims
from tasks.making import CONFLICTS, RETRIES
from tasks.model.change import NotInEffect, PreconditionFailed
from tasks.model.refusal import Refusal
from tasks.model.target import Target
from tests.unit.inline import InlineCase, inline_case
from tests.unit.makings import claims, kinds, make, states
from tests.unit.standin import Number, Trouble, at_least, fails, nothing, somebody_writes, standin, touched

LOST = ConnectionResetError("the answer was lost")
FORBIDDEN = ApiException(status=403, reason="Forbidden")
ORCHESTRATION = Target("deployment", "bus", "orchestration")


# ---- others at work -------------------------------------------------------------------------------------------------


def test_a_conflict_is_read_again(case: InlineCase) -> None:
    number = Number(before_write=[touched, touched])
    make(case, at_least(number))
    assert number.writes == [5]
    assert states(case) == [ChangeState.IN_EFFECT], "one entry, however often it was tried"
    assert claims(case) == [("at least 5", ClaimState.OPEN)]


def test_a_conflict_with_somebody_who_did_more_never_lowers_that(case: InlineCase) -> None:
    number = Number(before_write=[somebody_writes(7)])
    making, state = make(case, at_least(number))
    assert (number.value, number.writes) == (7, [])
    assert (state.is_completed(), making.reached, case.changed) == (True, False, False)
    assert states(case) == [ChangeState.NOT_NEEDED], "it was not we who did it"
    assert claims(case) == [("at least 5", ClaimState.WITHDRAWN)], "and there is nothing of ours to give back"
    assert "changed" not in kinds(case)


def test_a_conflict_with_somebody_who_lowered_it_rests_on_what_they_set(case: InlineCase) -> None:
    number = Number(before_write=[somebody_writes(1)])
    make(case, at_least(number))
    assert (number.writes, states(case)) == ([5], [ChangeState.IN_EFFECT])
    (holding,) = case.ledger.claims.holdings("prod")
    assert holding.baseline == {"value": 1}, "that is what it is given back to"


def test_a_target_that_never_holds_still_is_given_up(case: InlineCase) -> None:
    number = Number(before_write=[touched] * CONFLICTS)
    _, state = make(case, at_least(number))
    assert "kept changing" in str(state.message)
    assert number.writes == []
    assert (states(case), claims(case)) == ([ChangeState.FAILED], [("at least 5", ClaimState.WITHDRAWN)])


def test_a_conflict_is_not_held_against_the_limit_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change that is being made is not another one when it is made anew."""
    case = inline_case(monkeypatch, platform=standin(limits={"changes_per_hour": 1}))
    number = Number(before_write=[touched, fails(LOST)])
    making, _ = make(case, at_least(number))
    assert (number.writes, making.refused) == ([5], None)
    making, _ = make(case, at_least(number, 6))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.OVER_THE_LIMIT
    case.ledger.close()


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_an_answer_that_got_lost_is_found_out_by_reading(case: InlineCase) -> None:
    number = Number(after_write=[fails(LOST)])
    _, state = make(case, at_least(number))
    assert state.is_completed()
    assert number.writes == [5], "written once"
    assert (states(case), claims(case)) == ([ChangeState.IN_EFFECT], [("at least 5", ClaimState.OPEN)])
    assert kinds(case) == ["trying again", "changed", "in effect"]


def test_a_request_that_got_lost_is_sent_again(case: InlineCase) -> None:
    number = Number(before_write=[fails(LOST), fails(LOST)])
    make(case, at_least(number))
    assert number.writes == [5]
    assert states(case) == [ChangeState.IN_EFFECT]


def test_a_system_that_stays_away_is_given_up_after_its_retries(case: InlineCase) -> None:
    making, state = make(case, at_least(Number(before_write=[fails(LOST)] * (RETRIES + 5))))
    assert state.message == "the answer was lost"
    assert making.reached, "nobody knows whether it arrived"
    assert (states(case), claims(case)) == ([ChangeState.FAILED], [("at least 5", ClaimState.INTENDED)])
    (holding,) = case.ledger.claims.holdings("prod")
    assert (holding.written, holding.pending) == ({"value": 2}, {"value": 5}), "what may be there is known"
    assert kinds(case) == ["trying again"] * RETRIES + ["failed"]


def test_a_lost_connection_while_checking_checks_again(case: InlineCase) -> None:
    number = Number(on_verify=[fails(LOST)])
    make(case, at_least(number))
    assert number.writes == [5]
    assert states(case) == [ChangeState.IN_EFFECT]


def test_a_write_that_the_target_refused_changed_nothing_and_is_not_repeated(case: InlineCase) -> None:
    number = Number(before_write=[fails(FORBIDDEN)])
    making, state = make(case, at_least(number))
    assert state.message == "Kubernetes forbids it (403): Forbidden"
    assert (number.writes, making.reached, case.changed) == ([], False, False)
    assert (states(case), claims(case)) == ([ChangeState.FAILED], [("at least 5", ClaimState.WITHDRAWN)])
    assert case.ledger.claims.holdings("prod") == []
    assert kinds(case) == ["failed"]


def test_an_effect_that_does_not_come_fails_and_stays_written(case: InlineCase) -> None:
    number = Number(on_verify=[fails(NotInEffect("2 of 5 pods ready"))])
    making, state = make(case, at_least(number))
    assert (state.message, making.reached, number.value) == ("2 of 5 pods ready", True, 5)
    (record,) = case.ledger.changes.of_run("run-1")
    assert (record.state, record.detail) == (ChangeState.FAILED, "2 of 5 pods ready")
    assert claims(case) == [("at least 5", ClaimState.OPEN)], "it has to be given back"


def test_a_precondition_that_breaks_before_the_act_refuses(case: InlineCase) -> None:
    late: list[Trouble] = [nothing, fails(PreconditionFailed("an autoscaler took over"))]
    number = Number(on_read=late)
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert making.refused.refusal is Refusal.PRECONDITION
    assert (number.writes, case.changed, states(case)) == ([], False, [ChangeState.REFUSED])


def test_a_precondition_that_breaks_while_writing_refuses_too(case: InlineCase) -> None:
    """Another object has become the holder of the setting, say: nothing was sent."""
    number = Number(before_write=[fails(PreconditionFailed("another object holds it now"))])
    making, _ = make(case, at_least(number))
    assert making.refused is not None
    assert (making.refused.refusal, making.reached, case.changed) == (Refusal.PRECONDITION, False, False)
    assert (states(case), claims(case)) == ([ChangeState.REFUSED], [("at least 5", ClaimState.WITHDRAWN)])


# ---- the ledger fails -----------------------------------------------------------------------------------------------


def test_without_an_intent_nothing_is_written(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **named: object) -> int:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(Changes, "intend", full)
    number = Number()
    making, state = make(case, at_least(number))
    assert (number.writes, making.reached, state.message) == ([], False, "the disk is full")


def test_a_ledger_that_fails_after_the_write_leaves_the_intent(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is known what may be there, and the claim is given back like any other."""

    def full(*words: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(Claims, "confirm", full)
    number = Number()
    making, _ = make(case, at_least(number))
    assert (number.writes, making.reached) == ([5], True)
    (holding,) = case.ledger.claims.holdings("prod")
    assert (holding.pending, claims(case)) == ({"value": 5}, [("at least 5", ClaimState.INTENDED)])
