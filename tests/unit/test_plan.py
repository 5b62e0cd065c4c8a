"""The plan: each step made as a whole or not at all, who is asked about what, and a key that stands for one plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import guards
from tasks.guards import plan_key
from tasks.ledger import Answer, Approval
from tasks.model.change import Diff, Happened, PreconditionFailed, Purpose, Surroundings
from tasks.model.outcome import Trust
from tasks.model.refusal import Refusal
from tasks.model.target import Target
from tasks.plan import Plan, make_plan, plan_lines
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.standin import End, Job, Number, at_least, at_most, fails
from tests.wishes import Wish

RESET = ConnectionResetError("the connection was reset")


def approve(case: InlineCase, plan: Plan) -> None:
    """A person approves the plan."""
    now = case.ledger.now()
    asked = Approval(
        plan.key, case.run_id, None, case.site, case.runbook.id, (), Answer.ASKED, now, now + timedelta(minutes=5)
    )
    case.ledger.approvals.ask(asked)
    case.ledger.approvals.answer(plan.key, approved=True, by="alice")


def refusals(plan: Plan) -> list[list[Refusal]]:
    return [[refused.refusal for refused in step.refusals] for step in plan.steps]


# ---- steps ---------------------------------------------------------------------------------------------------------


def test_a_plan_writes_nothing_and_takes_no_lock(case: InlineCase) -> None:
    number = Number()
    plan = make_plan(case, ((at_least(number),),))
    assert plan.text == "orchestration, replicas: 2 -> 5"
    assert (number.writes, case.ledger.changes.of_run("run-1"), case.ledger.locks.all()) == ([], [], [])
    assert plan.key == "", "nobody has to be asked"


def test_a_refused_step_leaves_the_others_ready(case: InlineCase) -> None:
    too_many, fine = at_least(Number(), 21, "one"), at_least(Number(), 5, "two")
    plan = make_plan(case, ((too_many,), (fine,)))
    assert refusals(plan) == [[Refusal.OVER_THE_LIMIT], []]
    assert [step.planned[0].change for step in plan.ready] == [fine]
    assert [str(refused) for refused in plan.refusals] == ["over the limit: 21 replicas are more than the site's 20"]


def test_one_refused_change_refuses_its_whole_step(case: InlineCase) -> None:
    plan = make_plan(case, ((at_least(Number(), 5, "one"), at_least(Number(), 21, "two")),))
    assert refusals(plan) == [[Refusal.OVER_THE_LIMIT]]
    assert plan.ready == ()


def test_what_is_as_wanted_already_is_not_needed_and_not_refused(case: InlineCase) -> None:
    plan = make_plan(case, ((at_least(Number(25), 21),), (at_least(Number(2), 5),)))
    assert [len(step.needed) for step in plan.steps] == [0, 1]
    assert refusals(plan) == [[], []]


def test_a_precondition_that_does_not_hold_refuses_the_step(case: InlineCase) -> None:
    broken = Number(on_read=[fails(PreconditionFailed("an autoscaler decides"))])
    plan = make_plan(case, ((at_least(broken),),))
    assert [str(refused) for refused in plan.refusals] == ["precondition: an autoscaler decides"]


def test_what_cannot_be_read_cannot_be_judged(case: InlineCase) -> None:
    plan = make_plan(case, ((at_least(Number(on_read=[fails(RESET)])),), (at_least(Number(), 5, "two"),)))
    assert [str(refused) for refused in plan.refusals] == ["cannot be judged: the connection was reset"]
    assert len(plan.ready) == 1


# ---- asking --------------------------------------------------------------------------------------------------------


def test_steps_that_ask_wait_and_the_others_go_on(case: InlineCase) -> None:
    scale, pause = at_least(Number()), at_most(Number(3), asks="events are delayed")
    plan = make_plan(case, ((scale,), (pause,)))
    assert [step.planned[0].change for step in plan.ready] == [scale]
    assert [step.planned[0].change for step in plan.asking] == [pause]
    assert plan.refusals == (), "an approval is all that is missing"
    assert plan.key
    assert plan_lines(plan.asking) == (
        "deployment bus/publishers, replicas: 3 -> 1 (reversible; events are delayed; given back: when fewer wait)",
    )


def test_an_approved_plan_is_ready_under_its_key(case: InlineCase) -> None:
    steps = ((at_most(Number(3), asks="events are delayed"),),)
    asking = make_plan(case, steps)
    approve(case, asking)
    plan = make_plan(case, steps)
    assert plan.key == asking.key
    assert (len(plan.ready), plan.asking) == (1, ())


@pytest.mark.parametrize("trust", [Trust.OBSERVE, Trust.PLAN, Trust.APPROVE])
def test_below_full_trust_everything_asks(monkeypatch: pytest.MonkeyPatch, trust: Trust) -> None:
    case = inline_case(monkeypatch, trust=trust)
    plan = make_plan(case, ((at_least(Number()),), (at_most(Number(3)),)))
    assert (len(plan.asking), plan.ready) == (2, ())
    case.ledger.close()


def test_nobody_is_asked_to_approve_what_another_guard_refuses(case: InlineCase) -> None:
    plan = make_plan(case, ((at_least(Number(), 21, asks="costs money"), at_most(Number(3), asks="delays")),))
    assert plan.asking == ()
    assert refusals(plan) == [[Refusal.OVER_THE_LIMIT, Refusal.NOT_APPROVED]]


def test_the_key_is_for_all_that_asks_and_only_for_that(case: InlineCase) -> None:
    scale = at_least(Number(), 5)
    more = at_least(Number(), 6)
    pause = at_most(Number(3), asks="events are delayed")
    stop = at_most(Number(3), 0, asks="events are delayed")
    key = make_plan(case, ((scale,), (pause,))).key
    assert key == make_plan(case, ((more,), (pause,))).key
    assert key != make_plan(case, ((scale,), (stop,))).key
    assert key != make_plan(case, ((pause, pause),)).key


def test_what_was_not_shown_is_not_approved(case: InlineCase) -> None:
    """A step that was refused for another reason is not part of the question, also when that reason goes away."""
    stuck = Number(on_read=[fails(PreconditionFailed("a rollout is paused"))])
    steps = ((at_least(stuck, 5, asks="costs money"),), (at_most(Number(3), asks="delays"),))
    asking = make_plan(case, steps)
    assert [line.partition(",")[0] for line in plan_lines(asking.asking)] == ["deployment bus/publishers"]
    approve(case, asking)
    now = make_plan(case, steps)
    assert len(now.asking) == 2, "another question"
    assert now.ready == ()


@pytest.mark.parametrize("around", [Surroundings(owner="Helm (bus)"), Surroundings(healthy=1, wanted=1, takes_away=1)])
def test_what_a_guard_refused_was_not_shown_either(case: InlineCase, around: Surroundings) -> None:
    guarded = Number(around=around)
    steps = ((at_least(guarded, 5, asks="costs money"),), (at_most(Number(3), asks="delays"),))
    approve(case, make_plan(case, steps))
    assert len(make_plan(case, steps).ready) == 1, "what was shown and approved is made"
    guarded.around = Surroundings()
    assert make_plan(case, steps).ready == ()


def test_a_key_is_not_that_of_the_same_plan_on_another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**of: object) -> str:
        case = inline_case(monkeypatch, **of)  # type: ignore[arg-type]  # as they are named there
        found = make_plan(case, ((at_most(Number(3), asks="delays"),),)).key
        case.ledger.close()
        return found

    first, second = incident(), incident()
    assert key(run="run-1") == key(run="run-1")
    assert key(run="run-1") != key(run="run-2")
    assert key(run="run-1", incident=first) == key(run="run-2", incident=first), "whichever run has the incident"
    assert key(incident=first) != key(incident=second)


def test_a_plan_whose_targets_changed_has_another_key(case: InlineCase) -> None:
    """An approval of `3 -> 1` is none of `9 -> 1` only where that ends differently."""
    number = Number(3)
    steps = ((at_least(number, 5, asks="costs money"),),)
    before = make_plan(case, steps).key
    number.set(4)
    assert make_plan(case, steps).key == before, "it ends as it was approved"
    assert make_plan(case, ((at_least(number, 6, asks="costs money"),),)).key != before


# ---- what must not be done twice -----------------------------------------------------------------------------------


def attempted(case: InlineCase, end: End) -> None:
    """An earlier run of the same incident was killed in the middle of it."""
    case.intend("end it", end, end.diff(), Purpose.CHANGE, None)


# what the target says about an earlier attempt -> is it left alone, why is it refused
BEFORE: list[tuple[Happened, bool, list[Refusal]]] = [
    (Happened.YES, True, []),
    (Happened.NO, False, []),
    (Happened.UNKNOWN, False, [Refusal.EFFECT_UNKNOWN]),
]


@pytest.mark.parametrize(("says", "done", "refused"), BEFORE)
def test_an_earlier_attempt_is_asked_after(
    case: InlineCase, says: Happened, done: bool, refused: list[Refusal]
) -> None:
    end = End(Job(tells=says))
    attempted(case, end)
    (step,) = make_plan(case, ((end,),)).steps
    assert (step.needed == (), [r.refusal for r in step.refusals]) == (done, refused)


def test_a_target_that_cannot_say_is_not_touched(case: InlineCase) -> None:
    end = End(Job(tells=RESET))
    attempted(case, end)
    plan = make_plan(case, ((end,),))
    assert refusals(plan) == [[Refusal.CANNOT_BE_JUDGED]]


# ---- keys ----------------------------------------------------------------------------------------------------------

PLAIN = Wish()
DIFF = Diff("2", "5")
OTHERS = {
    "another kind": (replace(PLAIN, target=Target("statefulset", "bus", "orchestration")), DIFF),
    "another namespace": (replace(PLAIN, target=Target("deployment", "other", "orchestration")), DIFF),
    "another name": (replace(PLAIN, target=Target("deployment", "bus", "event-bus")), DIFF),
    "another field": (replace(PLAIN, field="rollout"), DIFF),
    "another value": (replace(PLAIN, wanted="at least 6"), DIFF),
    "the other way round": (replace(PLAIN, wanted="at most 5"), DIFF),
    "another result": (PLAIN, Diff("2", "6")),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_another_plan_has_another_key(other: tuple[Wish, Diff]) -> None:
    assert plan_key("prod", "incident", (other,)) != plan_key("prod", "incident", ((PLAIN, DIFF),))


def test_a_plan_is_all_its_changes_in_their_order() -> None:
    one, two = (PLAIN, DIFF), OTHERS["another field"]
    plans = ((one,), (two,), (one, two), (two, one), (one, one))
    assert len({plan_key("prod", "incident", plan) for plan in plans}) == 5


def test_site_matter_and_code_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ((PLAIN, DIFF),)
    keys = {plan_key("prod", "incident", plan), plan_key("staging", "incident", plan), plan_key("prod", "other", plan)}
    monkeypatch.setattr(guards, "code_version", lambda: "0.1.0+another")
    assert len({*keys, plan_key("prod", "incident", plan)}) == 4


_word = st.text("ab/:, \n", max_size=6)
_wish = st.builds(Wish, target=st.builds(Target, _word, _word, _word), field=_word, wanted=_word)
_plan = st.lists(st.tuples(_wish, st.builds(Diff, st.just("2"), _word)), max_size=3)


@given(_word, _plan, _word, _plan)
def test_equal_keys_mean_equal_plans(
    matter: str, one: list[tuple[Wish, Diff]], other: str, two: list[tuple[Wish, Diff]]
) -> None:
    if plan_key("prod", matter, one) == plan_key("prod", other, two):
        assert (matter, one) == (other, two)
