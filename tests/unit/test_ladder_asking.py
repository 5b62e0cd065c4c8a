"""The ladder where a person is asked: who waits, what is done meanwhile, and what an answer is worth."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.ledger import Answer
from tasks.model.outcome import Outcome
from tasks.validate import Helps
from tests.unit.climbs import (
    CLEARED,
    NO,
    Climb,
    Suspended,
    larger,
    option,
    slower,
    values,
    with_options,
)
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.standin import (
    slow_down,
)

ONLY_SLOW = with_options(slow_down)
BOTH = with_options(option("all_at_once", lambda site: larger()(site) + slower(asks="events are delayed")(site)))


def suspended(way: Climb) -> InlineCase:
    """A run with an incident that has asked, and waits for the answer."""
    way.may_be_suspended()
    case = inline_case(way.environment, runbook=ONLY_SLOW, platform=way.platform(), incident=incident())
    with pytest.raises(Suspended):
        way.go_on(case)
    return case


def test_a_run_that_needs_an_answer_is_suspended_and_holds_nothing(way: Climb) -> None:
    case = suspended(way)
    (asked,) = case.ledger.approvals.waiting()
    assert case.incident is not None
    assert (asked.key, asked.incident, asked.answer) == (way.waits[0], case.incident.id, Answer.ASKED)
    assert asked.plan == (
        "deployment bus/publishers, replicas: 3 -> 1 (reversible; events are delayed; given back: when fewer wait)",
    )
    assert asked.expires_at - asked.asked_at == timedelta(minutes=15)
    assert (case.ledger.locks.all(), values(case)) == ([], (2, 3))


def test_what_needs_no_answer_is_done_before_anybody_is_waited_for(way: Climb) -> None:
    way.may_be_suspended()
    way.checks = [NO]
    platform = way.platform()
    case = inline_case(way.environment, runbook=BOTH, platform=platform)
    with pytest.raises(Suspended):
        way.go_on(case)
    assert values(case) == (5, 3)


def test_nobody_is_waited_for_when_the_rest_has_helped(way: Climb) -> None:
    way.may_be_suspended()
    way.checks = [CLEARED]
    case, ending = way.run(BOTH)
    assert (ending.outcome, values(case), way.waits) == (Outcome.RECOVERED, (5, 3), [])


def answered(way: Climb, *, approved: bool) -> InlineCase:
    """A run that was suspended, and is executed again from its top after the answer."""
    case = suspended(way)
    case.ledger.approvals.answer(way.waits[0], approved, "alice")
    return inline_case(
        way.environment, runbook=ONLY_SLOW, platform=case.platform, incident=case.incident, ledger=case.ledger
    )


def test_an_approved_plan_is_made_after_a_fresh_diagnosis(way: Climb) -> None:
    case = answered(way, approved=True)
    way.checks = [CLEARED]
    assert way.go_on(case).outcome is Outcome.RECOVERED
    assert (values(case), len(case.rounds), len(way.waits)) == ((2, 1), 1, 1)


def test_what_is_approved_while_the_rest_is_made_is_made_by_the_same_run(way: Climb) -> None:
    case = inline_case(way.environment, runbook=BOTH, platform=way.platform())

    def approved_meanwhile(of: InlineCase, option: str) -> Helps:
        for asked in of.ledger.approvals.waiting():
            of.ledger.approvals.answer(asked.key, True, "alice")
            return NO
        return CLEARED

    way.go_on(case, check=approved_meanwhile)
    assert values(case) == (5, 1)
    assert [first.option for decision in case.decisions if (first := decision.first)] == ["all at once", "all at once"]


def test_a_declined_plan_is_not_made_and_not_asked_again(way: Climb) -> None:
    case = answered(way, approved=False)
    way.opens = False
    ending = way.go_on(case)
    assert (ending.outcome, values(case), len(way.waits)) == (Outcome.REFUSED, (2, 3), 1)
    assert "is declined" in ending.verdict


def test_a_diagnosis_that_leads_to_another_plan_asks_again(way: Climb) -> None:
    case = answered(way, approved=True)
    case.runbook = with_options(option("slow_down", slower(0, asks="events are delayed")))
    with pytest.raises(Suspended):
        way.go_on(case)
    assert len(set(way.waits)) == 2
    assert values(case) == (2, 3)


def test_a_system_that_became_healthy_meanwhile_is_left_alone_although_somebody_said_yes(way: Climb) -> None:
    case = answered(way, approved=True)
    case.platform.answers.value = 100
    assert way.go_on(case).outcome is Outcome.NOTHING_TO_DO
    assert values(case) == (2, 3)


def test_a_run_that_cannot_wait_says_which_plan_it_needs(way: Climb) -> None:
    way.opens = False
    case, ending = way.run(ONLY_SLOW)
    (asked,) = case.ledger.approvals.of_run("run-1")
    assert ending.outcome is Outcome.REFUSED
    assert f"plan {asked.key} is asked" in ending.verdict
