"""How one option is carried out: each step as a whole or not at all, and one refused step keeps no other from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.ledger import Answer, Approval, ChangeState
from tasks.mitigate import Attempt, mitigate
from tasks.model.change import Diff, NotInEffect, PreconditionFailed
from tasks.model.decision import No, Step, Weighed, Yes
from tasks.model.outcome import Severity, Trust
from tasks.model.refusal import Refusal
from tasks.model.target import Target
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.makings import kinds
from tests.unit.standin import SUBJECT, Number, at_least, at_most, fails
from tests.wishes import Wish

LOST = ConnectionResetError("the answer was lost")
FORBIDDEN = ApiException(status=403, reason="Forbidden")


def option(*steps: Step) -> Weighed:
    return Weighed("scale out", "Option 1", Yes("needed", steps))


def states(case: InlineCase) -> list[tuple[str, ChangeState]]:
    return [(c.target.name, c.state) for c in case.ledger.changes.of_run("run-1")]


def refusals(attempt: Attempt) -> list[Refusal]:
    return [refused.refusal for refused in attempt.refusals]


# ---- steps ---------------------------------------------------------------------------------------------------------


def test_an_option_is_made(case: InlineCase) -> None:
    number = Number()
    attempt = mitigate(case, option((at_least(number),)))
    assert attempt == Attempt("scale out", True, "orchestration, replicas: 2 -> 5")
    assert number.writes == [5]


def test_freshness_counts_from_after_the_change(case: InlineCase) -> None:
    began = case.changed_at
    mitigate(case, option((at_least(Number()),)))
    assert case.changed_at > began


def test_what_is_as_wanted_is_left_alone_and_said(case: InlineCase) -> None:
    number = Number(8)
    attempt = mitigate(case, option((at_least(number),)))
    assert attempt == Attempt("scale out", False, "everything is as wanted")
    assert (number.writes, case.changed, states(case), kinds(case)) == ([], False, [], ["left alone"])


def test_only_what_is_needed_of_a_step_is_done_in_order(case: InlineCase) -> None:
    one, two, three = Number(2), Number(9), Number(1)
    attempt = mitigate(case, option((at_least(one, 5, "one"), at_least(two, 5, "two"), at_least(three, 5, "three"))))
    assert attempt.changed
    assert [number.value for number in (one, two, three)] == [5, 9, 5]
    assert states(case) == [("one", ChangeState.IN_EFFECT), ("three", ChangeState.IN_EFFECT)]


def test_one_refused_step_keeps_no_other_from_being_made(case: InlineCase) -> None:
    too_many, fine, also = Number(), Number(), Number()
    attempt = mitigate(
        case,
        option((at_least(fine, 5, "one"),), (at_least(too_many, 21, "two"),), (at_least(also, 5, "three"),)),
    )
    assert (fine.writes, too_many.writes, also.writes) == ([5], [], [5])
    assert (attempt.changed, refusals(attempt), attempt.aside) == (True, [Refusal.OVER_THE_LIMIT], "")
    assert states(case) == [
        ("two", ChangeState.REFUSED),
        ("one", ChangeState.IN_EFFECT),
        ("three", ChangeState.IN_EFFECT),
    ]


def test_one_refused_change_keeps_its_whole_step_from_being_begun(case: InlineCase) -> None:
    one, two = Number(), Number()
    attempt = mitigate(case, option((at_least(one, 5, "one"), at_least(two, 21, "two"))))
    assert (one.writes, two.writes, attempt.changed) == ([], [], False)
    assert states(case) == [("two", ChangeState.REFUSED)]
    assert kinds(case) == ["refused"]


def test_a_precondition_refuses_before_anything_of_the_step_is_done(case: InlineCase) -> None:
    one, two = Number(), Number(on_read=[fails(PreconditionFailed("an autoscaler decides"))])
    attempt = mitigate(case, option((at_least(one, 5, "one"), at_least(two, 5, "two"))))
    assert attempt.detail == "precondition: an autoscaler decides"
    assert one.writes == []


def test_a_change_that_fails_ends_its_step_and_no_other(case: InlineCase) -> None:
    one, two, three = Number(before_write=[fails(FORBIDDEN)]), Number(), Number()
    attempt = mitigate(case, option((at_least(one, 5, "one"), at_least(two, 5, "two")), (at_least(three, 5, "three"),)))
    assert (one.writes, two.writes, three.writes) == ([], [], [5])
    assert (attempt.changed, attempt.detail) == (
        True,
        "three, replicas: 2 -> 5; failed: Kubernetes forbids it (403): Forbidden",
    )
    assert states(case) == [("one", ChangeState.FAILED), ("three", ChangeState.IN_EFFECT)]


def test_what_was_changed_before_a_refused_write_stays_changed(case: InlineCase) -> None:
    two = Number(before_write=[fails(FORBIDDEN)])
    attempt = mitigate(case, option((at_least(Number(), 5, "one"), at_least(two, 5, "two"))))
    assert attempt.changed
    assert states(case) == [("one", ChangeState.IN_EFFECT), ("two", ChangeState.FAILED)]


def test_an_effect_that_does_not_come_is_a_change_all_the_same(case: InlineCase) -> None:
    number = Number(on_verify=[fails(NotInEffect("2 of 5 pods ready"))])
    attempt = mitigate(case, option((at_least(number),)))
    assert attempt == Attempt("scale out", True, "orchestration, replicas: 2 -> 5; failed: 2 of 5 pods ready")
    assert case.changed
    assert states(case) == [("orchestration", ChangeState.FAILED)]


def test_nothing_done_says_why(case: InlineCase) -> None:
    attempt = mitigate(case, option((at_least(Number(before_write=[fails(FORBIDDEN)])),)))
    assert (attempt.changed, attempt.detail) == (False, "failed: Kubernetes forbids it (403): Forbidden")


def test_an_option_that_does_not_apply_cannot_be_carried_out(case: InlineCase) -> None:
    with pytest.raises(ValueError, match="does not apply"):
        mitigate(case, Weighed("scale out", "Option 1", No("no need")))


# ---- a person ------------------------------------------------------------------------------------------------------


def test_steps_that_ask_wait_while_the_others_are_made(case: InlineCase) -> None:
    scale, pause = Number(), Number(3)
    attempt = mitigate(case, option((at_least(scale),), (at_most(pause, asks="events are delayed"),)))
    assert (scale.writes, pause.writes) == ([5], [])
    assert attempt.changed
    assert attempt.waiting is not None
    assert [step.planned[0].change.target.name for step in attempt.waiting.asking] == ["publishers"]
    assert attempt.refusals == (), "to wait is no refusal"
    assert states(case) == [("orchestration", ChangeState.IN_EFFECT)]


def approve(case: InlineCase, key: str, runs_out: timedelta = timedelta(minutes=5)) -> None:
    now = case.ledger.now()
    asked = Approval(key, "run-1", None, "prod", case.runbook.id, (), Answer.ASKED, now, now + runs_out)
    case.ledger.approvals.ask(asked)
    case.ledger.approvals.answer(key, approved=True, by="alice")


def test_an_approved_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    case = inline_case(monkeypatch, trust=Trust.APPROVE)
    pause = Number(3)
    weighed = option((at_most(pause, asks="events are delayed"),))
    asked = mitigate(case, weighed)
    assert (asked.detail, pause.writes) == ("waits for approval", [])
    assert asked.waiting is not None
    approve(case, asked.waiting.key)
    assert mitigate(case, weighed).changed
    assert pause.writes == [1]
    case.ledger.close()


def test_an_approval_is_for_the_plan_that_was_shown(case: InlineCase) -> None:
    """`at least 5` was approved when it meant 2 -> 5. Now somebody has to be asked about 6 -> 8."""
    number = Number()
    asked = mitigate(case, option((at_least(number, 5, asks="costs money"),)))
    assert asked.waiting is not None
    approve(case, asked.waiting.key)
    again = mitigate(case, option((at_least(number, 8, asks="costs money"),)))
    assert (number.writes, again.waiting is not None) == ([], True)


def test_an_approval_that_ran_out_while_it_was_acted_on_does_not_count(case: InlineCase) -> None:
    number = Number(3)
    weighed = option((at_most(number, asks="events are delayed"),))
    asked = mitigate(case, weighed)
    assert asked.waiting is not None
    approve(case, asked.waiting.key)

    def expires(number: Number) -> None:
        case.ledger.approvals.withdraw(why.id)

    why, _ = case.ledger.incidents.open(incident())
    assert case.facts.approved(asked.waiting.key)
    with case.ledger.database.writing() as tx:
        tx.exec_driver_sql("UPDATE approval SET incident = ?", (why.id,))
    number.on_read = [lambda number: None, expires]
    attempt = mitigate(case, weighed)
    assert (number.writes, refusals(attempt)) == ([], [Refusal.NOT_APPROVED])


# ---- somebody else has it ------------------------------------------------------------------------------------------


def test_a_run_stands_aside_for_whoever_has_the_target(case: InlineCase) -> None:
    case.ledger.locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [SUBJECT])
    one, two = Number(), Number()
    attempt = mitigate(case, option((at_least(one),), (at_least(two, 5, "other"),)))
    assert attempt.aside == "critical_waiting (critical) has deployment bus/orchestration"
    assert (one.writes, two.writes, attempt.changed) == ([], [], False)


def test_a_run_stands_aside_for_a_person_who_has_the_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    why = incident()
    case = inline_case(monkeypatch, incident=why)
    case.ledger.incidents.take(why.id, "alice")
    number = Number()
    attempt = mitigate(case, option((at_least(number),)))
    assert (attempt.aside, number.writes) == ("alice has this incident", [])
    case.ledger.close()


def test_a_run_that_is_superseded_between_two_steps_begins_no_other(case: InlineCase) -> None:
    def take_over(number: Number) -> None:
        target = Target("deployment", "bus", "one")
        case.ledger.locks.acquire("run-2", "critical_waiting", Severity.CRITICAL, "prod", [SUBJECT, target])

    one, two, three = Number(on_verify=[take_over]), Number(), Number()
    steps = [(at_least(number, 5, name),) for name, number in (("one", one), ("two", two), ("three", three))]
    attempt = mitigate(case, option(*steps))
    assert (one.writes, two.writes, three.writes) == ([5], [], [])
    assert attempt.aside
    assert attempt.changed


@dataclass(frozen=True)
class Drifts(Wish):
    """A change that would do something else at every look."""

    looks: list[str] = field(default_factory=lambda: ["5", "6"])

    def diff(self) -> Diff:
        return Diff("2", self.looks.pop(0))


def test_a_plan_that_is_stale_by_the_time_it_is_acted_on_is_planned_anew(case: InlineCase) -> None:
    attempt = mitigate(case, option((Drifts(),)))
    assert (attempt.changed, attempt.stale, attempt.aside) == (False, True, "")
    assert states(case) == [("orchestration", ChangeState.REFUSED)]
