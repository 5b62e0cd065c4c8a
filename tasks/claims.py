"""Making claims on numbers, and giving them back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tasks.model.change import Diff, Effect, NotInEffect
from tasks.model.claim import Bound, Claim, Draft, Levels
from tasks.model.knob import Dial, Knob
from tasks.model.target import Target


@dataclass(frozen=True, slots=True)
class Claiming:
    """At least, or at most, so much. What is already better stays: the numbers of the documents are bounds."""

    knob: Knob
    claim: Claim
    restore: str
    asks: str = ""

    @property
    def target(self) -> Target:
        return self.knob.target

    @property
    def field(self) -> str:
        return self.knob.field

    @property
    def wanted(self) -> str:
        return str(self.claim)

    @property
    def effect(self) -> Effect:
        return self.knob.effect(lowers=self.claim.bound is Bound.AT_MOST)

    def diff(self) -> Diff:
        """The field now, and with this claim on top of whatever holds already."""
        dial = self.knob.read()
        return _diff(self.knob, dial, self.knob.settle(dial.levels, (self.claim,)), self.claim)

    def apply(self, diff: Diff) -> None:
        """Writes what `diff` found; the target refuses if it has changed since."""
        _write(self.knob, diff)

    def verify(self, within: timedelta) -> str:
        """Waits until the field, as it is now, is in effect. More than was claimed counts too, also when somebody else
        claims it meanwhile."""
        levels = self.knob.read().levels
        while True:
            if dict(self.knob.settle(levels, (self.claim,))) != dict(levels):
                raise NotInEffect(f"{self.field} of {self.target} is {self.knob.show(levels)}, not {self.claim}")
            try:
                return self.knob.verify(levels, within)
            except NotInEffect:
                before, levels = levels, self.knob.read().levels
                if dict(levels) == dict(before):
                    raise


@dataclass(frozen=True, slots=True)
class Releasing:
    """A field after claims on it were released or relaxed: what its baseline and the remaining claims say."""

    knob: Knob
    before: Levels
    baseline: Levels
    remaining: tuple[Claim, ...]
    reason: str
    asks: str = ""
    restore: str = "nothing to give back"

    @property
    def target(self) -> Target:
        return self.knob.target

    @property
    def field(self) -> str:
        return self.knob.field

    @property
    def levels(self) -> Levels:
        return self.knob.settle(self.baseline, self.remaining)

    @property
    def wanted(self) -> str:
        return f"back to {self.knob.show(self.levels)}, {self.reason}"

    @property
    def effect(self) -> Effect:
        return self.knob.effect(lowers=sum(self.levels.values()) < sum(self.before.values()))

    def diff(self) -> Diff:
        """The field now, and without what is released."""
        return _diff(self.knob, self.knob.read(), self.levels, None)

    def apply(self, diff: Diff) -> None:
        """Writes what `diff` found; the target refuses if it has changed since."""
        _write(self.knob, diff)

    def verify(self, within: timedelta) -> str:
        """Waits until the field is as it should be."""
        return self.knob.verify(self.levels, within)


def _diff(knob: Knob, dial: Dial, after: Levels, claim: Claim | None) -> Diff:
    draft = Draft(knob.target, knob.field, claim, dial.levels, after)
    return Diff(
        knob.show(dial.levels), knob.show(after), dial.version, dial.note, knob.amounts(after), draft, dial.around
    )


def _write(knob: Knob, diff: Diff) -> None:
    if diff.draft is None:
        raise ValueError("a change of numbers without its numbers")
    knob.write(diff.draft.after, diff.version)
