"""How a run ends. Nothing else decides the Prefect state."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """How a run ends; the value is the name of the Prefect state."""

    RECOVERED = "Recovered"
    NOTHING_TO_DO = "NothingToDo"
    PLANNED = "Planned"
    OBSERVED = "Observed"
    DEFERRED = "Deferred"
    STEPPED_ASIDE = "SteppedAside"
    NOT_RECOVERED = "NotRecovered"
    REFUSED = "Refused"
    CANCELLED = "Cancelled"
    # How a restore ends, which is no runbook.
    GIVEN_BACK = "GivenBack"
    STILL_NEEDED = "StillNeeded"
    NOT_GIVEN_BACK = "NotGivenBack"

    @property
    def state_type(self) -> Literal["COMPLETED", "CANCELLED", "FAILED"]:
        """The Prefect state type: automations match on it, because events carry the state's name."""
        if self in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO, Outcome.GIVEN_BACK, Outcome.STILL_NEEDED):
            return "COMPLETED"
        if self in (Outcome.NOT_RECOVERED, Outcome.REFUSED, Outcome.NOT_GIVEN_BACK):
            return "FAILED"
        return "CANCELLED"

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return _MEANING[self]


_MEANING = {
    Outcome.RECOVERED: "Every criterion of recovery holds on fresh samples.",
    Outcome.NOTHING_TO_DO: "The system was measured and is healthy; nothing was changed.",
    Outcome.PLANNED: "The plan was made and shown; nothing was changed.",
    Outcome.OBSERVED: "The system was diagnosed and a decision reported; nothing was changed.",
    Outcome.DEFERRED: "Another runbook treats the cause.",
    Outcome.STEPPED_ASIDE: "A graver runbook, another run or a person has this incident.",
    Outcome.NOT_RECOVERED: "At least one criterion of recovery does not hold, or cannot be told: a person is needed.",
    Outcome.REFUSED: "The changes that would help were refused by a guard; nothing was changed.",
    Outcome.CANCELLED: "A person ended this run in Prefect; the timeline and the changes tell how far it had come.",
    Outcome.GIVEN_BACK: "Everything that had been changed for a while is given back.",
    Outcome.STILL_NEEDED: "Some of what was changed for a while is still needed; it is looked at again.",
    Outcome.NOT_GIVEN_BACK: "Something should have been given back and could not be.",
}


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    def graver_than(self, other: Severity) -> bool:
        """Whether this one takes a target over from the other."""
        order = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
        return order.index(self) > order.index(other)


class Trust(StrEnum):
    """How far a runbook may go by itself. Each level includes the ones before it."""

    OBSERVE = "observe"  # diagnose and decide
    PLAN = "plan"  # and show the exact change per target
    APPROVE = "approve"  # and make the changes that a person approved
    ACT = "act"  # and make changes unasked, except those that always ask
