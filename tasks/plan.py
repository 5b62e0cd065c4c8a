"""The plan: what the steps of an option would do at this moment, and what stands against each. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tasks.case import Case, Planned
from tasks.guards import asks_for, plan_key
from tasks.model.change import Change, Diff, Happened, Once, PreconditionFailed
from tasks.model.decision import Step
from tasks.model.evidence import Unknown
from tasks.model.refusal import Refusal, Refused
from tasks.platform import Platform
from tasks.systems.errors import explain

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step: it is made as a whole or not at all."""

    planned: tuple[Planned, ...]

    @property
    def needed(self) -> tuple[Planned, ...]:
        return tuple(p for p in self.planned if p.refused or (p.diff and p.diff.needed))

    @property
    def refusals(self) -> tuple[Refused, ...]:
        return tuple(p.refused for p in self.planned if p.refused)

    @property
    def asks(self) -> bool:
        """Whether a person's approval is all that is missing."""
        return bool(self.refusals) and all(r.refusal is Refusal.NOT_APPROVED for r in self.refusals)

    @property
    def ready(self) -> bool:
        return bool(self.needed) and not self.refusals


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one option. `key` is what an approval of all that asks is for; empty when nothing asks."""

    steps: tuple[PlannedStep, ...]
    key: str

    @property
    def planned(self) -> tuple[Planned, ...]:
        return tuple(p for step in self.steps for p in step.planned)

    @property
    def ready(self) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.ready)

    @property
    def asking(self) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.asks)

    @property
    def refusals(self) -> tuple[Refused, ...]:
        """What stands against steps that asking a person would not mend."""
        return tuple(r for step in self.steps if not step.asks for r in step.refusals)

    @property
    def text(self) -> str:
        return "; ".join(p.text for p in self.planned)


def make_plan(case: Case[P, F], steps: Sequence[Step]) -> Plan:
    """Reads every target and asks the guards, as if each change were made now.

    The key is over what a person is asked and nothing else: a step that is refused for another reason is not shown, so
    an approval must not cover it once that reason is gone.
    """
    judged = [PlannedStep(tuple(_judged(case, _read(case, change)) for change in step)) for step in steps]
    key = _key(case, [one for step in judged if step.asks for one in step.needed])
    return Plan(tuple(_under(case, step, key) if step.asks else step for step in judged), key)


def _key(case: Case[P, F], shown: Sequence[Planned]) -> str:
    asked = [(p.change, p.diff) for p in shown if p.diff and asks_for(p.change, case.allowed.trust)]
    return plan_key(case.site, case.incident.id if case.incident else case.run_id, asked) if asked else ""


def _under(case: Case[P, F], step: PlannedStep, key: str) -> PlannedStep:
    """The step as it stands with the approval of the plan with this key, if there is one."""
    return PlannedStep(tuple(_judged(case, replace(one, refused=None, key=key)) for one in step.planned))


def _read(case: Case[P, F], change: Change) -> Planned:
    try:
        done = done_already(case, change)
        return Planned(change, done or change.diff(), None, "")
    except PreconditionFailed as error:
        return Planned(change, None, Refused(Refusal.PRECONDITION, str(error)), "")
    except Exception as error:  # what cannot be read cannot be judged, so it is not done
        return Planned(change, None, Refused(Refusal.CANNOT_BE_JUDGED, Unknown.because(explain(error)).reason), "")


def done_already(case: Case[P, F], change: Change) -> Diff | None:
    """What must not be made twice, and was made by an earlier attempt on behalf of this incident."""
    if not isinstance(change, Once):
        return None
    before = case.facts.done_before(change)
    if before is None or change.happened(before) is not Happened.YES:
        return None
    done = f"done at {before:%H:%M:%S} UTC"
    return Diff(done, done)


def _judged(case: Case[P, F], planned: Planned) -> Planned:
    if planned.refused or planned.diff is None or not planned.diff.needed:
        return planned
    try:
        case.check(planned.change, planned.diff, planned.diff.after, planned.key)
    except Refused as refused:
        return replace(planned, refused=refused)
    return planned


def plan_lines(steps: Iterable[PlannedStep]) -> tuple[str, ...]:
    """What a person is asked to approve, one line per change."""
    return tuple(
        f"{p.change.target}, {p.change.field}: {p.diff} ({p.change.effect}"
        + (f"; {p.change.asks}" if p.change.asks else "")
        + f"; given back: {p.change.restore})"
        for step in steps
        for p in step.needed
    )
