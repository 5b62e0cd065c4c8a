"""The ladder: take the first option that applies; if it does not help, diagnose again and go on; then the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tasks import approval, failpoint
from tasks.case import Case
from tasks.decide import Earlier, decide
from tasks.diagnose import diagnose
from tasks.giving_back import undo
from tasks.ledger import Answer, Approval, ChangeState
from tasks.mitigate import Attempt, mitigate
from tasks.model.change import Purpose
from tasks.model.decision import Act, Blind, Decision, HandOver, Healthy, Wait, Weighed, Yes
from tasks.model.outcome import Outcome, Trust
from tasks.model.refusal import Refusal
from tasks.plan import Plan, make_plan
from tasks.platform import Platform
from tasks.runbook import option_name
from tasks.validate import Gate, Helps, Verdict, await_readings, measure_before, quick_check, validate

P = TypeVar("P", bound=Platform)
F = TypeVar("F")

_ARRIVED = (ChangeState.INTENDED, ChangeState.APPLIED, ChangeState.IN_EFFECT, ChangeState.EFFECT_UNKNOWN)
REPLANS = 3  # so often an option is planned anew because things changed between planning and acting


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, in one sentence, and what the gate saw if it was reached."""

    outcome: Outcome
    verdict: str
    gate: Gate | None = None


def climb(case: Case[P, F]) -> Ending:
    """Runs the document's options in their order of preference until one has helped or none is left."""
    earlier, waiting, replans = Earlier(), False, 0
    patience = case.platform.pace.stale_after_seconds
    refused: list[str] = []
    while True:
        found = diagnose(case)
        decision = decide(case, found, replace(earlier, made=_made(case)))
        if isinstance(decision.triage, Healthy | HandOver) and not case.changed:
            return _leave(decision)
        if case.allowed.trust in (Trust.OBSERVE, Trust.PLAN):
            return _report_only(case, decision)
        if graver := _graver(decision):
            return Ending(Outcome.STEPPED_ASIDE, graver)
        first = decision.first
        if first is None and decision.blind and patience > 0:
            patience -= await_readings(case, patience)
            continue
        if first is None or case.time_left <= 0:
            break
        patience = case.platform.pace.stale_after_seconds
        measure_before(case)
        waiting = isinstance(first.verdict, Wait)
        if waiting:
            earlier = replace(earlier, waited=earlier.waited | {first.option})
            if quick_check(case, first.option) is Helps.CLEARED:
                break
            continue
        attempt = mitigate(case, first)
        if attempt.aside:
            return Ending(Outcome.STEPPED_ASIDE, attempt.aside)
        if attempt.stale and not attempt.changed and replans < REPLANS:
            replans += 1
            continue
        refused += [f"{first.option}: {refusal}" for refusal in attempt.refusals]
        question = _question(case, first, attempt)
        if attempt.changed:
            helps = quick_check(case, first.option)
            if helps is Helps.CLEARED and not _may_repeat(case, attempt):
                break
            if helps is Helps.NO and not case.unreadable:
                case.remember_useless(first.option)
        if question and question.answer is Answer.ASKED and approval.can_wait():
            approval.suspend(case, first.option, question)
        if question and case.facts.approved(question.key):
            continue  # approved while the other steps were made: the same option again, with what is left of it
        if question:
            refused.append(f"{first.option}: {Refusal.NOT_APPROVED}: plan {question.key} is {question.answer}")
        if not _may_repeat(case, attempt):
            earlier = replace(earlier, tried={**earlier.tried, first.option: attempt.detail})
    return _gate(case, refused, waiting)


def _made(case: Case[P, F]) -> Mapping[str, int]:
    """How many changes each option has made on behalf of the incident, or may have. From the ledger, because a run may
    have been suspended or have crashed in between."""
    ledger = case.ledger.changes
    mine = ledger.of_incident(case.incident.id) if case.incident else ledger.of_run(case.run_id)
    return Counter(one.option for one in mine if one.purpose is Purpose.CHANGE and one.state in _ARRIVED)


def _may_repeat(case: Case[P, F], attempt: Attempt) -> bool:
    """Whether the option may be taken again: it is meant to, and all that it was to do was done. Whether it is needed
    is decided on a fresh look, also when the alert's condition is gone: more of the same may be left."""
    repeatable = {option_name(option) for option in case.runbook.repeats}
    return attempt.option in repeatable and attempt.changed and not attempt.refusals


def _question(case: Case[P, F], chosen: Weighed, attempt: Attempt) -> Approval | None:
    """What a person is asked about this option, or was."""
    return approval.ask(case, chosen.option, attempt.waiting) if attempt.waiting else None


def _graver(decision: Decision) -> str:
    """A graver runbook that has to take over although this one has begun."""
    match decision.triage:
        case HandOver(runbook=runbook, reason="graver"):
            return f"{runbook} takes over: {decision.because}"
    return ""


def _leave(decision: Decision) -> Ending:
    match decision.triage:
        case Healthy():
            return Ending(Outcome.NOTHING_TO_DO, decision.because)
        case HandOver(runbook=runbook, reason="graver"):
            return Ending(Outcome.STEPPED_ASIDE, f"{runbook} takes over: {decision.because}")
        case HandOver(runbook=runbook):
            return Ending(Outcome.DEFERRED, f"left to {runbook}: {decision.because}")
        case Act() | Blind():
            raise ValueError("it may not be left")


def _report_only(case: Case[P, F], decision: Decision) -> Ending:
    if case.allowed.trust is Trust.OBSERVE:
        return Ending(Outcome.OBSERVED, decision.because)
    for weighed in decision.weighed:
        if isinstance(weighed.verdict, Yes):
            plan: Plan = make_plan(case, weighed.verdict.steps)
            case.plan.extend((weighed.option, planned) for planned in plan.planned)
    return Ending(Outcome.PLANNED, decision.because)


def _gate(case: Case[P, F], refused: Sequence[str], waiting: bool) -> Ending:
    failpoint.reach("before gate")
    gate = validate(case, patient=case.changed or waiting)
    failpoint.reach("after gate")
    if gate.verdict is Verdict.OPEN:
        by_itself = "" if case.changed else ", without a change by this run"
        return Ending(Outcome.RECOVERED, gate.describe() + by_itself, gate)
    if refused and not case.changed:
        return Ending(Outcome.REFUSED, "; ".join(refused), gate)
    undo(case)
    return Ending(Outcome.NOT_RECOVERED, gate.describe(why=False), gate)
