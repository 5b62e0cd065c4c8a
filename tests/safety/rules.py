"""The safety rules, and for each the tests that fail without it. A reviewer reads this first.

`tests/safety` takes each rule out of the code in turn, runs the tests that are named here, and demands that
they fail. By hand: `pytest tests/unit/test_making.py --without "the ledger is written before the act"`. (That the
target itself refuses a write that rests on an old version is shown on real API servers, in `tests/contract`.)
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from deployments.intake.handle import adopt
from tasks import aftermath, cancellation, mitigate, respond, restore
from tasks.approval import suspend
from tasks.case import Case
from tasks.decide import triaged
from tasks.escalate import tell
from tasks.explained import explains
from tasks.facts import LiveFacts
from tasks.giving_back import undo
from tasks.guards import GUARDS, Guard
from tasks.ladder import climb
from tasks.ledger.changes import Changes
from tasks.ledger.claims import Claims
from tasks.making import Making
from tasks.model.refusal import Refusal
from tasks.plan import PlannedStep, make_plan
from tasks.validate import Gate, judge


@dataclass(frozen=True)
class Rule:
    """One rule: how it is taken out for the time of a block, and the tests that must fail then."""

    name: str
    without: Callable[[], AbstractContextManager[None]]
    fails: tuple[str, ...]


# ---- taking a rule out ---------------------------------------------------------------------------------------------


@contextmanager
def _without_guard(guard: Guard) -> Iterator[None]:
    """The guard is not asked."""
    place = GUARDS.index(guard)
    GUARDS.remove(guard)
    try:
        yield
    finally:
        GUARDS.insert(place, guard)


def _instead(of: Any, code: str, other: str) -> Callable[[], AbstractContextManager[None]]:
    """A function, property or context in which this piece of its code, which it has just once, reads otherwise."""
    function = of.fget if isinstance(of, property) else inspect.unwrap(of)
    assert isinstance(function, FunctionType)

    @contextmanager
    def without() -> Iterator[None]:
        source = textwrap.dedent(inspect.getsource(function))
        source = source.removeprefix("@property\n").removeprefix("@contextmanager\n")
        assert source.count(code) == 1, f"{function.__qualname__} has no `{code}` any more, or more than one"
        scratch = dict(function.__globals__)
        kept, lines = function.__code__, source.replace(code, other)
        exec(compile(lines, inspect.getfile(function), "exec"), scratch)  # noqa: S102 - our own code
        function.__code__ = scratch[function.__name__].__code__
        try:
            yield
        finally:
            function.__code__ = kept

    return without


# ---- the rules -----------------------------------------------------------------------------------------------------


def _guard(guard: Guard) -> Rule:
    """Every guard is a rule. Its tests bear its name: see the tables of `test_guards.py`."""
    return Rule(guard.refusal.value, lambda: _without_guard(guard), ("test_guards.py",))


_ONCE = next(guard for guard in GUARDS if guard.refusal is Refusal.EFFECT_UNKNOWN)
_OURS = next(guard for guard in GUARDS if guard.refusal is Refusal.NOT_OURS)

RULES: tuple[Rule, ...] = (
    *map(_guard, GUARDS),
    # -- before a write --
    Rule(
        "guards are asked again at the moment of acting",
        _instead(Making._write, "self._case.check(", "bool("),
        (
            "test_making.py::test_a_pause_between_plan_and_act_counts",
            "test_making.py::test_a_pause_between_two_attempts_counts",
            "test_making.py::test_a_change_that_would_do_something_else_than_planned_is_refused",
        ),
    ),
    Rule(
        "the target is locked before it is written",
        _instead(Making._write, "self._case.hold(change.target)", "pass"),
        ("test_making.py::test_the_target_is_locked_before_it_is_written",),
    ),
    Rule(
        "the ledger is written before the act",
        _instead(Making._write, "self._intend(diff, looked_again=live == not_ours)", "pass"),
        (
            "test_making.py::test_the_intent_is_in_the_ledger_before_the_target_is_touched",
            "test_making_in_trouble.py::test_without_an_intent_nothing_is_written",
        ),
    ),
    Rule(
        "what may be an old reading is looked at again before it passes for a person's value",
        _instead(Claims.intend, "if not looked_again:", "if False:"),
        ("test_making.py::test_what_was_read_before_another_run_wrote_passes_for_no_person_s_value",),
    ),
    Rule(
        "the claim is written with the intent",
        _instead(Changes.intend, "if diff.draft is not None:", "if False:"),
        ("test_making.py::test_the_claim_is_in_the_ledger_before_the_target_is_touched_and_open_after",),
    ),
    Rule(
        "the lock and its epoch are checked in the transaction that writes the intent",
        _instead(Changes.intend, "self._locks.insist(tx, held, run)", "pass"),
        (
            "test_making.py::test_a_lock_lost_between_check_and_intent_writes_nothing",
            "test_respond.py::test_an_earlier_process_of_the_same_run_writes_nothing_any_more",
        ),
    ),
    Rule(
        "a process that was halted after it was allowed to write does not write",
        _instead(Making._intend, "self._case.lease.total_seconds() / 2", "1e9"),
        ("test_making.py::test_a_process_halted_between_intent_and_write_writes_nothing",),
    ),
    Rule(
        "a run that lost a target and got it back begins nothing on what it knew",
        _instead(Case.hold, "if any(had.get(one.target, one.epoch) != one.epoch for one in held):", "if False:"),
        ("test_making.py::test_a_lock_that_was_gone_and_came_back_is_not_the_same",),
    ),
    Rule(
        "a step is made as a whole or not at all",
        _instead(PlannedStep.ready, "and not self.refusals", ""),
        ("test_mitigate.py::test_one_refused_change_keeps_its_whole_step_from_being_begun",),
    ),
    Rule(
        "a run that is told to end begins no change",
        _instead(LiveFacts.lost, "if self.told_to_end:", "if False:"),
        ("test_cancellation.py::test_a_run_that_is_told_to_end_begins_no_change",),
    ),
    Rule(
        "a write under way is seen through before the locks are given back",
        _instead(Making.attempt, "with self._case.writing:", "if True:"),
        ("test_cancellation.py::test_a_write_under_way_is_seen_through_before_the_locks_are_given_back",),
    ),
    Rule(
        "a run that a person cancelled is not started again",
        _instead(
            cancellation.noting_cancellation,
            'if intent == "cancel" or (intent is None and cancelled(UUID(run))):',
            "if False:",
        ),
        (
            "test_cancellation.py::test_only_a_run_that_a_person_cancelled_is_over",
            "test_cancellation.py::test_what_the_worker_said_counts_also_when_prefect_does_not_answer",
        ),
    ),
    # -- what must not be done twice --
    Rule(
        "what must not be done twice is not tried again blindly",
        lambda: _without_guard(_ONCE),
        (
            "test_once.py::test_an_answer_that_got_lost_is_not_followed_by_a_second_write",
            "test_once.py::test_a_request_of_which_nobody_knows_is_not_sent_again",
            "test_once.py::test_the_run_that_picks_an_incident_up_asks_after_what_was_intended",
        ),
    ),
    Rule(
        "what may have arrived stays known as that",
        _instead(Making._broken_off, "self.reached and isinstance(self._planned.change, Once)", "False"),
        ("test_once.py::test_an_answer_that_got_lost_is_not_followed_by_a_second_write",),
    ),
    Rule(
        "what a crashed run had intended is asked after by the next one",
        _instead(LiveFacts._mine, "if self.incident else []", "if False else []"),
        (
            "test_once.py::test_the_run_that_picks_an_incident_up_asks_after_what_was_intended",
            "test_once.py::test_the_share_of_a_group_counts_what_was_done_by_the_run_before",
        ),
    ),
    # -- people --
    Rule(
        "a person approves what was shown, and nothing else",
        _instead(make_plan, "for step in judged if step.asks for one", "for step in judged for one"),
        ("test_plan.py::test_what_a_guard_refused_was_not_shown_either",),
    ),
    Rule(
        "a run that waits for a person holds nothing",
        _instead(suspend, "case.let_go()", "pass"),
        ("test_approval.py::test_a_suspended_run_holds_nothing_and_is_not_taken_for_dead",),
    ),
    Rule(
        "a run has never more trust than its site",
        _instead(respond._trust, "min(allowed, asked or allowed, key=order.index)", "asked or allowed"),
        ("test_respond.py::test_a_run_never_has_more_trust_than_its_site",),
    ),
    Rule(
        "without a ledger nothing is changed",
        _instead(respond.open_case, "Trust.OBSERVE if broken else", ""),
        ("test_respond.py::test_without_the_ledger_a_run_only_observes",),
    ),
    Rule(
        "nobody is called twice about the same",
        _instead(
            tell, "if not ledger.pages.once(matter.id, kind.value, number, _callers(platform, number)):", "if False:"
        ),
        (
            "test_escalate.py::test_once_per_matter_kind_and_level",
            "test_escalate.py::test_two_processes_that_find_out_at_once_call_once",
        ),
    ),
    # -- one at a time --
    Rule(
        "one run has an incident",
        _instead(respond._work, "not case.ledger.incidents.claim(case.incident.id, case.run_id)", "False"),
        ("test_conclude.py::test_only_one_run_works_on_an_incident",),
    ),
    Rule(
        "a crashed run's incident is given to another run once",
        _instead(aftermath.bury, "and incident.pickups < PICKUPS", ""),
        (
            "test_watch_runs.py::test_when_that_one_dies_too_a_person_is_called_once",
            "test_aftermath.py::test_when_that_one_dies_too_a_person_is_called_once",
            "test_aftermath.py::test_a_storm_ends",
        ),
    ),
    Rule(
        "a run is not buried on Prefect's word while it may still write",
        _instead(aftermath.look_after, "ledger.now() - seen <= 2 * site.platform.pace.lease", "False"),
        ("test_aftermath.py::test_a_run_that_may_still_write_is_left_alone",),
    ),
    # -- is it fixed --
    Rule(
        "what cannot be read never opens the gate",
        _instead(judge, "sample(Holds.UNKNOWN, reading.reason)", "sample(Holds.YES, reading.reason)"),
        ("test_gate.py::test_one_sample[missing]",),
    ),
    Rule(
        "what is not a number never opens the gate",
        _instead(judge, "if not math.isfinite(reading.value):", "if False:"),
        ("test_gate.py::test_one_sample[minus infinity]",),
    ),
    Rule(
        "a stale sample never opens the gate",
        _instead(judge, "if reading.lag > criterion.stale_after:", "if False:"),
        ("test_gate.py::test_one_sample[stale]",),
    ),
    Rule(
        "a sample that looks at the time before the last change never opens the gate",
        _instead(judge, "if asked_at - reading.reach.total_seconds() <= changed_at:", "if False:"),
        (
            "test_gate.py::test_one_sample[asked before the change]",
            "test_gate.py::test_one_sample[a rate that reaches back]",
            "test_gate.py::test_one_sample[one pod scraped before]",
        ),
    ),
    Rule(
        "a criterion holds without a break for its settle window",
        _instead(Gate.settled, "latest.moment - held >= criterion.settle.total_seconds()", "True"),
        ("test_gate.py::test_one_sample_never_fills_a_settle_window_however_long_the_look_took",),
    ),
    Rule(
        "freshness counts from after the last change",
        _instead(mitigate._make, "case.changed_at = time.monotonic()", "pass"),
        ("test_mitigate.py::test_freshness_counts_from_after_the_change",),
    ),
    Rule(
        "where it cannot be told whether anything is wrong, nothing is changed",
        _instead(triaged, "return Blind(", "return Act("),
        (
            "test_ladder.py::test_a_condition_that_cannot_be_read_is_no_proof_of_health",
            "test_high_task_queue_depth.py::test_an_unknown_trigger_is_acted_on_by_nobody",
        ),
    ),
    Rule(
        "a healthy system is left alone",
        _instead(climb, "if isinstance(decision.triage, Healthy | HandOver) and not case.changed:", "if False:"),
        (
            "test_ladder.py::test_a_healthy_system_is_left_alone",
            "test_ladder_asking.py::test_a_system_that_became_healthy_meanwhile_is_left_alone_although_somebody_said_yes",
        ),
    ),
    # -- what is our own doing --
    Rule(
        "what was on before a claim was made is not explained by it",
        _instead(explains, "and ringing.since >= claim.made_at", ""),
        ("test_explained.py::test_what_a_claim_explains",),
    ),
    Rule(
        "an overdue claim explains nothing any more",
        _instead(explains, "holds = now < claim.due_at", "holds = True"),
        (
            "test_explained.py::test_what_a_claim_explains",
            "test_explained.py::test_it_counts_when_the_claim_is_overdue",
        ),
    ),
    Rule(
        "what is held back counts when nothing explains it any more",
        _instead(adopt, "if hold_back(", "if stray.explained_by or hold_back("),
        ("test_explained.py::test_it_counts_when_it_is_still_on_after_the_claim_was_given_back",),
    ),
    # -- giving back --
    Rule(
        "a value that somebody else set is left alone",
        lambda: _without_guard(_OURS),
        (
            "test_giving_back.py::test_what_somebody_else_changed_meanwhile_is_left_to_them",
            "test_restore.py::test_what_a_person_changed_in_between_is_left_to_them",
        ),
    ),
    Rule(
        "only what did not help is undone",
        _instead(undo, "and c.option in case.useless", ""),
        ("test_giving_back.py::test_what_helped_or_was_not_judged_is_kept",),
    ),
    Rule(
        "undoing disturbs nobody",
        _instead(undo, "if _disturbs(case, holding, ours[0].claim):", "if False:"),
        ("test_giving_back.py::test_undoing_that_would_disturb_somebody_is_left",),
    ),
    Rule(
        "any runbook takes a target from a restore",
        _instead(restore._case, "rank=Severity.INFO,", ""),
        ("test_restore.py::test_any_runbook_takes_the_target_from_a_restore",),
    ),
    Rule(
        "what a run at work has changed is not given back",
        _instead(restore.groups, "and (run is None or run.ended_at is not None)", ""),
        ("test_restore.py::test_claims_of_a_run_that_is_still_at_work_are_not_looked_at",),
    ),
    Rule(
        "what an open incident needs is not given back",
        _instead(
            restore.still_going_on, "incident.id == group.incident or other.subject(site.platform) == subject", "False"
        ),
        (
            "test_restore.py::test_claims_are_kept_while_an_incident_about_the_same_is_open",
            "test_watch_runs.py::test_a_restore_is_started_once_when_nothing_speaks_for_a_claim_any_more",
        ),
    ),
)
