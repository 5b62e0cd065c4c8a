"""Mitigate: the changes of one option, each written to the ledger before it is made and checked after.

The option is planned as a whole first. Steps that a guard refuses are left out, steps that ask a person wait; the
others are made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tasks.case import Case, Planned
from tasks.making import RETRIES, Making
from tasks.model.change import describe
from tasks.model.decision import Weighed, Yes
from tasks.model.refusal import Refusal, Refused
from tasks.plan import Plan, PlannedStep, make_plan
from tasks.platform import Platform

P = TypeVar("P", bound=Platform)
F = TypeVar("F")

ASIDE = (Refusal.BUSY, Refusal.SUPERSEDED, Refusal.TAKEN)
"""Refusals after which the run has nothing more to do: somebody else has the target or the incident."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one option.

    `refusals` are what stood against its steps, `waiting` the plan of which some steps wait for a person.
    """

    option: str
    changed: bool
    detail: str
    refusals: tuple[Refused, ...] = ()
    waiting: Plan | None = None

    @property
    def aside(self) -> str:
        """Who has the target or the incident instead, or the empty string."""
        return next((r.detail for r in self.refusals if r.refusal in ASIDE), "")

    @property
    def stale(self) -> bool:
        """Whether things changed between planning and acting, so that planning again may help."""
        return any(r.refusal is Refusal.STALE_PLAN for r in self.refusals)


def mitigate(case: Case[P, F], chosen: Weighed) -> Attempt:
    """Makes what may be made of the chosen option, in order, each change as a task of the run."""
    if not isinstance(chosen.verdict, Yes):
        raise ValueError(f"{chosen.option} does not apply")
    steps = chosen.verdict.steps
    plan = case.follow("plan", f"plan: {chosen.option}", lambda: make_plan(case, steps))
    refusals = list(plan.refusals)
    for one in plan.planned:
        if one.refused and one.refused in refusals:
            _record_refusal(case, chosen.option, one)
    if any(refused.refusal in ASIDE for refused in refusals):
        return Attempt(chosen.option, False, _why(refusals), tuple(refusals))
    waiting = plan if plan.asking else None
    made: list[str] = []
    failed: list[str] = []
    for step in plan.ready:
        for making, why in _make(case, chosen.option, step):
            made.extend([making.text] if making.reached else [])
            refusals.extend([making.refused] if making.refused else [])
            failed.extend([why] if why and not making.refused else [])
        if any(refused.refusal in ASIDE for refused in refusals):
            break
    if not (made or failed or refusals or waiting):
        case.note("left alone", f"{chosen.option}: {plan.text}")
    said = [*made, *(f"failed: {why}" for why in failed)]
    detail = "; ".join(said) or _why(refusals) or ("waits for approval" if waiting else "everything is as wanted")
    return Attempt(chosen.option, bool(made), detail, tuple(refusals), waiting)


def _why(refusals: Sequence[Refused]) -> str:
    return "; ".join(str(refused) for refused in refusals)


def _record_refusal(case: Case[P, F], option: str, planned: Planned) -> None:
    case.refuse(option, planned.change, planned.diff, str(planned.refused))
    case.note("refused", f"{describe(planned.change)}: {planned.refused}")


def _make(case: Case[P, F], option: str, step: PlannedStep) -> Iterator[tuple[Making, str]]:
    """Makes the changes of a step in order, and says of each why it failed. What fails ends the step."""
    for one in step.needed:
        making = Making(case, option, one)
        future = case.start("mitigate", f"mitigate: {one.text}", making.attempt, retries=RETRIES)
        future.wait()
        case.after = [future]
        case.changed_at = time.monotonic()
        if not future.state.is_completed():
            yield making, future.state.message or "failed"
            return
        yield making, ""
