"""Claims in the ledger: all on one field rest on one baseline, and a person's value is left to the person."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.ledger import ClaimRecord, ClaimState, Holding, Ledger, LockLost, NotOurs
from tasks.model.change import Purpose
from tasks.model.claim import Bound, Claim
from tasks.model.outcome import Severity
from tests.contract.ledger.places import (
    START,
    Place,
    acquire,
    at_least,
    at_once,
    claimant,
    intend,
    replicas,
)
from tests.wishes import ORCHESTRATION


def holding(ledger: Ledger) -> Holding:
    """What is claimed on the replicas of the orchestration."""
    found = ledger.claims.holding("prod", ORCHESTRATION, "replicas")
    assert found is not None
    return found


def states(ledger: Ledger, run: str = "run-1") -> list[ClaimState]:
    """What became of the claims of a run."""
    return [claim.state for claim in ledger.claims.of_run(run)]


def claim(ledger: Ledger, before: int, after: int, run: str = "run-1") -> int:
    """A claim that reached its target."""
    number = intend(ledger, replicas(before, after, at_least(after)), run)
    ledger.claims.confirm(number)
    return number


def give_back(ledger: Ledger, before: int, after: int, *claims: ClaimRecord) -> None:
    """Claims that are given back, and the write of what is left."""
    ledger.claims.confirm(intend(ledger, replicas(before, after), "restore", purpose=Purpose.RESTORE))
    ledger.claims.end([one.id for one in claims], ClaimState.RELEASED, "the queue is short")


# ---- one claim -----------------------------------------------------------------------------------------------------


def test_a_claim_comes_back_as_it_was_made(ledger: Ledger) -> None:
    who = claimant(severity=Severity.CRITICAL, runbook="bus_down")
    intend(ledger, replicas(2, 5, at_least(5)), incident="i-1", claimant=who)
    (found,) = holding(ledger).claims
    assert (found.site, found.target, found.field) == ("prod", ORCHESTRATION, "replicas")
    assert (found.claim, found.state) == (Claim(Bound.AT_LEAST, 5), ClaimState.INTENDED)
    assert (found.run, found.incident, found.runbook, found.option) == ("run-1", "i-1", "bus_down", "scale out")
    assert (found.severity, found.due_at, found.paged_at, found.ended_at) == (Severity.CRITICAL, START, None, None)
    assert ledger.claims.of_run("run-1") == ledger.claims.of_incident("i-1") == [found]
    assert [held.claims for held in ledger.claims.holdings("prod")] == [(found,)]
    assert ledger.claims.holdings("other") == []


def test_until_it_is_known_what_arrived_both_values_are_ours(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5, at_least(5)))
    held = holding(ledger)
    assert (held.baseline, held.written, held.pending) == ({"replicas": 2}, {"replicas": 2}, {"replicas": 5})
    ledger.claims.confirm(number)
    held = holding(ledger)
    assert (held.baseline, held.written, held.pending) == ({"replicas": 2}, {"replicas": 5}, None)
    assert states(ledger) == [ClaimState.OPEN]


def test_what_the_target_refused_was_never_claimed(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5, at_least(5)))
    ledger.claims.withdraw(number)
    assert ledger.claims.holding("prod", ORCHESTRATION, "replicas") is None
    assert states(ledger) == [ClaimState.WITHDRAWN]
    ledger.claims.confirm(number)
    assert states(ledger) == [ClaimState.WITHDRAWN], "an answer is final"


def test_a_claim_of_who_lost_the_lock_is_not_written(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1")
    ledger.locks.release("run-1")
    with pytest.raises(LockLost):
        intend(ledger, replicas(2, 5, at_least(5)), held=held)
    assert ledger.claims.holdings() == []


def test_a_claim_that_is_given_back_leaves_nothing(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    number = intend(ledger, replicas(5, 2), "restore", purpose=Purpose.RESTORE)
    assert holding(ledger).pending == {"replicas": 2}
    ledger.claims.confirm(number)
    held = holding(ledger)
    assert (held.written, held.pending) == ({"replicas": 2}, None)
    ledger.claims.end([held.claims[0].id], ClaimState.RELEASED, "the queue is short")
    assert ledger.claims.holdings() == []
    (record,) = ledger.claims.of_run("run-1")
    assert (record.state, record.detail) == (ClaimState.RELEASED, "the queue is short")
    assert record.ended_at is not None


def test_a_claim_is_relaxed_step_by_step(ledger: Ledger) -> None:
    claim(ledger, 2, 10)
    ledger.claims.change_value(holding(ledger).claims[0].id, 6)
    assert holding(ledger).claims[0].claim == at_least(6)


def test_changes_that_claim_nothing_touch_no_claim(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    before = holding(ledger)
    number = intend(ledger, replicas(2, 5), site="other")
    ledger.claims.confirm(number)
    ledger.claims.withdraw(number)
    assert holding(ledger) == before


# ---- several claims ------------------------------------------------------------------------------------------------


def test_all_claims_rest_on_one_baseline(ledger: Ledger) -> None:
    claim(ledger, 2, 5, "high")
    claim(ledger, 5, 10, "critical")
    held = holding(ledger)
    assert held.baseline == {"replicas": 2}
    assert [one.claim for one in held.claims] == [at_least(5), at_least(10)]
    give_back(ledger, 10, 10, held.claims[0])
    give_back(ledger, 10, 2, held.claims[1])
    assert ledger.claims.holdings() == []


def test_the_same_run_claims_another_value_instead(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    claim(ledger, 5, 8)
    held = holding(ledger)
    assert [one.claim for one in held.claims] == [at_least(8)]
    assert held.baseline == {"replicas": 2}
    assert states(ledger) == [ClaimState.RELEASED, ClaimState.OPEN]


def test_its_old_value_stays_claimed_when_the_new_one_is_refused(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    ledger.claims.withdraw(intend(ledger, replicas(5, 8, at_least(8))))
    held = holding(ledger)
    assert [one.claim for one in held.claims] == [at_least(5)]
    assert (held.written, held.pending) == ({"replicas": 5}, None)


def test_a_floor_and_a_ceiling_of_one_run_are_two_claims(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    number = intend(ledger, replicas(5, 1, Claim(Bound.AT_MOST, 1)))
    ledger.claims.confirm(number)
    assert len(holding(ledger).claims) == 2


def test_a_change_that_is_made_anew_is_one_claim(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5, at_least(5)))
    intend(ledger, replicas(2, 6, at_least(6)), again=number)
    ledger.claims.confirm(number)
    held = holding(ledger)
    assert [one.claim for one in held.claims] == [at_least(6)]
    assert held.written == {"replicas": 6}


# ---- what nobody confirmed -----------------------------------------------------------------------------------------


def test_a_write_that_is_seen_has_arrived(ledger: Ledger) -> None:
    """The run died between the write and its confirmation; the next one reads what it wrote."""
    intend(ledger, replicas(2, 5, at_least(5)), "dead")
    intend(ledger, replicas(5, 10, at_least(10)), "run-2")
    held = holding(ledger)
    assert (held.baseline, held.written, held.pending) == ({"replicas": 2}, {"replicas": 5}, {"replicas": 10})
    assert states(ledger, "dead") == [ClaimState.OPEN]


def test_a_write_that_may_still_arrive_stays_ours(ledger: Ledger) -> None:
    """The write of a run that was taken over arrives after the other one has read, and refuses the other's write."""
    intend(ledger, replicas(2, 5, at_least(5)), "lesser")
    graver = intend(ledger, replicas(2, 10, at_least(10)), "graver")
    intend(ledger, replicas(5, 10, at_least(10)), "graver", again=graver)
    held = holding(ledger)
    assert (held.baseline, held.written) == ({"replicas": 2}, {"replicas": 5})
    assert states(ledger, "lesser") == [ClaimState.OPEN]
    ledger.claims.confirm(graver)
    assert holding(ledger).written == {"replicas": 10}


def test_what_is_confirmed_late_is_not_what_was_written_last(ledger: Ledger) -> None:
    first = intend(ledger, replicas(2, 5, at_least(5)), "run-1")
    second = intend(ledger, replicas(2, 10, at_least(10)), "run-2")
    ledger.claims.confirm(second)
    ledger.claims.confirm(first)
    assert holding(ledger).written == {"replicas": 10}
    assert states(ledger, "run-1") == states(ledger, "run-2") == [ClaimState.OPEN]


def test_every_write_that_may_have_arrived_is_ours(ledger: Ledger) -> None:
    def ours(live: int) -> bool:
        return ledger.claims.ours("prod", ORCHESTRATION, "replicas", {"replicas": live})

    assert not ours(2)
    intend(ledger, replicas(2, 5, at_least(5)), "run-1")
    intend(ledger, replicas(2, 10, at_least(10)), "run-2")
    assert [live for live in range(12) if ours(live)] == [2, 5, 10]


# ---- a person in between -------------------------------------------------------------------------------------------


def test_what_a_person_set_is_the_new_baseline(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    claim(ledger, 7, 10, "run-2")
    held = holding(ledger)
    assert held.baseline == {"replicas": 7}
    assert [one.run for one in held.claims] == ["run-2"]
    (left,) = ledger.claims.of_run("run-1")
    assert left.state is ClaimState.LEFT
    assert left.detail == "somebody else set replicas to 7"


def test_a_value_of_nobody_s_is_looked_at_twice(ledger: Ledger) -> None:
    """It may have been read before a write of ours that the ledger has learned of since; then nothing is left to a
    person, and nothing is written down."""
    first = intend(ledger, replicas(2, 5, at_least(5)))
    ledger.claims.confirm(first)
    before = holding(ledger)
    for purpose in (Purpose.CHANGE, Purpose.RESTORE):
        with pytest.raises(NotOurs, match="replicas of"):
            intend(ledger, replicas(2, 10, at_least(10)), "run-2", purpose=purpose, looked_again=False)
    assert holding(ledger) == before
    assert ledger.changes.of_run("run-2") == []
    intend(ledger, replicas(5, 10, at_least(10)), "run-2", looked_again=False)
    assert holding(ledger).baseline == {"replicas": 2}
    assert [one.run for one in holding(ledger).claims] == ["run-1", "run-2"]


def test_a_person_may_be_quicker_than_a_first_write(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5, at_least(5)))
    intend(ledger, replicas(3, 5, at_least(5)), again=number)
    held = holding(ledger)
    assert held.baseline == {"replicas": 3}
    assert states(ledger) == [ClaimState.WITHDRAWN, ClaimState.INTENDED]
    ledger.claims.confirm(number)
    assert states(ledger) == [ClaimState.WITHDRAWN, ClaimState.OPEN]


def test_to_give_back_what_a_person_set_changes_no_claim(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    before = holding(ledger)
    intend(ledger, replicas(7, 2), "restore", purpose=Purpose.RESTORE)
    assert holding(ledger) == before
    ledger.claims.end([before.claims[0].id], ClaimState.LEFT, "a person set 7")
    assert ledger.claims.holdings() == []


def test_what_was_closed_is_not_opened_again(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    give_back(ledger, 5, 2, *holding(ledger).claims)
    claim(ledger, 4, 6, "run-2")
    assert holding(ledger).baseline == {"replicas": 4}


# ---- due -----------------------------------------------------------------------------------------------------------


def test_an_overdue_claim_calls_a_person_once(place: Place, ledger: Ledger) -> None:
    due = claimant(due_at=ledger.now() + timedelta(minutes=10))
    intend(ledger, replicas(2, 5, at_least(5)), claimant=due)
    assert ledger.claims.overdue() == []
    place.turn(timedelta(minutes=11))
    (late,) = ledger.claims.overdue()
    ledger.claims.paged([late.id])
    assert ledger.claims.overdue() == []
    assert holding(ledger).claims[0].paged_at is not None


def test_what_was_given_back_is_not_overdue(ledger: Ledger) -> None:
    claim(ledger, 2, 5)
    assert len(ledger.claims.overdue()) == 1
    give_back(ledger, 5, 2, *holding(ledger).claims)
    assert ledger.claims.overdue() == []


def test_many_runs_claim_and_give_back_at_once(ledger: Ledger) -> None:
    """Without a lock between them: the holding is one all the same, and closed when the last claim is gone."""

    def one(number: int) -> None:
        run = f"run-{number}"
        intend(ledger, replicas(2, 2, at_least(2)), run)
        ledger.claims.end([found.id for found in ledger.claims.of_run(run)], ClaimState.RELEASED, "")

    at_once(8, one)
    assert ledger.claims.holdings() == []
    assert {state for number in range(8) for state in states(ledger, f"run-{number}")} == {ClaimState.RELEASED}
