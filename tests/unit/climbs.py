"""Runs up a ladder. Looking, planning and making are the real ones; only the quick check and the gate, which take their
time, say at once what the test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tasks import approval, ladder
from tasks.ladder import Ending, climb
from tasks.ledger import Approval
from tasks.model.decision import Step, Triage, Verdict, Yes
from tasks.runbook import AnyRunbook, Option
from tasks.validate import Gate, Helps
from tasks.validate import Verdict as GateVerdict
from tests.unit.inline import InlineCase, inline_case
from tests.unit.standin import (
    HIGH,
    Found,
    Number,
    Standin,
    at_least,
    at_most,
    standin,
)

CLEARED, NO = Helps.CLEARED, Helps.NO


class Suspended(BaseException):
    """The run is suspended: nothing of it goes on."""


@dataclass
class Climb:
    """One run with what its quick checks and its gate will say."""

    environment: pytest.MonkeyPatch
    checks: list[Helps] = field(default_factory=list)
    opens: bool = True
    waits: list[str] = field(default_factory=list)

    def platform(self) -> Standin:
        """A site where too many wait."""
        found = standin()
        found.numbers.update(orchestration=Number(2), publishers=Number(3))
        return found

    def run(self, runbook: AnyRunbook = HIGH, **of: object) -> tuple[InlineCase, Ending]:
        """Climbs."""
        case = inline_case(self.environment, runbook=runbook, platform=self.platform(), **of)  # type: ignore[arg-type]
        return case, self.go_on(case)

    def go_on(self, case: InlineCase, check: Callable[[InlineCase, str], Helps] | None = None) -> Ending:
        """Climbs, or climbs again."""
        self.environment.setattr(ladder, "quick_check", check or (lambda case, option: self.checks.pop(0)))
        self.environment.setattr(ladder, "measure_before", lambda case: None)
        self.environment.setattr(ladder, "validate", self._gate)
        return climb(case)

    def _gate(self, case: InlineCase, *, patient: bool) -> Gate:
        verdict = GateVerdict.OPEN if self.opens else GateVerdict.CLOSED
        return replace(Gate(case.criteria, 0, patient), verdict=verdict)

    def may_be_suspended(self) -> None:
        """The run was started through its deployment."""

        def suspend(case: InlineCase, option: str, asked: Approval) -> None:
            case.let_go()
            case.ledger.runs.wait(case.run_id, asked.key)
            self.waits.append(asked.key)
            raise Suspended

        self.environment.setattr(approval, "can_wait", lambda: True)
        self.environment.setattr(approval, "suspend", suspend)


def values(case: InlineCase) -> tuple[int, int]:
    numbers: dict[str, Number] = case.platform.numbers
    return numbers["orchestration"].value, numbers["publishers"].value


Steps = Callable[[Standin], tuple[Step, ...]]


def option(name: str, steps: Steps) -> Option[Found, Standin]:
    """An option that always applies."""

    def apply(found: Found, site: Standin) -> Verdict:
        return Yes("too many wait", steps(site))

    apply.__name__ = name
    return apply


def with_options(*options: Option[Found, Standin]) -> AnyRunbook:
    return replace(HIGH, options=options)


def triaged(triage: Triage) -> AnyRunbook:
    return replace(HIGH, triage=lambda found, site: triage)


def slower(to: int = 1, asks: str = "") -> Steps:
    return lambda site: ((at_most(site.numbers["publishers"], to, asks=asks),),)


def larger(to: int = 5) -> Steps:
    return lambda site: ((at_least(site.numbers["orchestration"], to),),)
