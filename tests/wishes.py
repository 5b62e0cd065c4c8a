"""Changes that are never made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tasks.model.change import Diff, Effect
from tasks.model.target import Target

ORCHESTRATION = Target("deployment", "bus", "orchestration")


@dataclass(frozen=True)
class Wish:
    """A change that is only judged, or only written down."""

    target: Target = ORCHESTRATION
    field: str = "replicas"
    wanted: str = "at least 5"
    effect: Effect = Effect.REVERSIBLE
    asks: str = ""
    restore: str = ""

    def diff(self) -> Diff:
        """Nothing is read."""
        raise AssertionError("a wish has no target")

    def apply(self, diff: Diff) -> None:
        """Nothing is written."""
        raise AssertionError("a wish has no target")

    def verify(self, within: timedelta) -> str:
        """Nothing can be seen."""
        raise AssertionError("a wish has no target")
