"""What was decided, and why: verdicts on options, ranked in the document's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.model.change import Change

Step = tuple[Change, ...]
"""Changes that only make sense together, e.g. a setting and the restart that makes pods read it."""


@dataclass(frozen=True, slots=True)
class Yes:
    """The option applies: these steps, in this order, for this reason.

    A step is made as a whole or not at all; when a guard refuses one, the others go on.
    """

    because: str
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(change for step in self.steps for change in step)


@dataclass(frozen=True, slots=True)
class No:
    """The option does not apply, for this reason. `blind`: a reading is missing that would tell."""

    because: str
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The option would apply, but something that may help is already under way: look again later."""

    because: str


Verdict = Yes | No | Wait


@dataclass(frozen=True, slots=True)
class Act:
    """Triage: the alert's condition holds, go on to the options."""

    because: str


@dataclass(frozen=True, slots=True)
class Blind:
    """Triage: it cannot be told whether there is anything to do here. Then nothing is done: an option's own readings
    say that it is possible, not that it is needed."""

    because: str


@dataclass(frozen=True, slots=True)
class Healthy:
    """Triage: measured, and there is nothing to do."""

    because: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Triage: another runbook is responsible. `reason` is 'cause' (its fault explains ours) or 'graver'."""

    runbook: str
    because: str
    reason: Literal["cause", "graver"]


Triage = Act | Blind | Healthy | HandOver


@dataclass(frozen=True, slots=True)
class Weighed:
    """One option with its verdict."""

    option: str
    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """All options in the document's order of preference, each with the reason for or against it."""

    triage: Triage
    weighed: tuple[Weighed, ...]

    @property
    def first(self) -> Weighed | None:
        """The first option that applies, or would if it had not to wait for something under way."""
        return next((w for w in self.weighed if not isinstance(w.verdict, No)), None)

    @property
    def blind(self) -> bool:
        """Whether something was decided for want of a reading."""
        verdicts = (weighed.verdict for weighed in self.weighed)
        return isinstance(self.triage, Blind) or any(isinstance(one, No) and one.blind for one in verdicts)

    @property
    def because(self) -> str:
        if not isinstance(self.triage, Act):
            return self.triage.because
        if self.first is None:
            return "no option is left" + (", and not everything could be read" if self.blind else "")
        waiting = "wait: " if isinstance(self.first.verdict, Wait) else ""
        return f"{waiting}{self.first.text}, because {self.first.verdict.because}"


@dataclass(frozen=True, slots=True)
class Keep:
    """A claim is still needed, for this reason."""

    because: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A claim is given back, for this reason: at once, or `step` at a time with a look in between."""

    because: str
    step: int | None = None
