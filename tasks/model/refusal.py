"""Why a guard said no: an enum with one sentence each."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """The reasons for which nothing is written. The sentence is what reports and documentation show."""

    PAUSED = "paused"
    NOT_APPROVED = "not approved"
    OVER_THE_LIMIT = "over the limit"
    BELOW_THE_FLOOR = "below the floor"
    BUSY = "busy"
    SUPERSEDED = "superseded"
    TAKEN = "taken by a person"
    COOLING_DOWN = "cooling down"
    TOO_MANY_SICK = "too many sick"
    OUTSIDE_SCOPE = "outside scope"
    STALE_PLAN = "stale plan"
    ROLLOUT_IN_PROGRESS = "rollout in progress"
    DISRUPTION_BUDGET = "disruption budget"
    OWNED = "owned by somebody else"
    FROZEN = "frozen"
    EFFECT_UNKNOWN = "effect unknown"
    NOT_OURS = "not ours any more"
    PRECONDITION = "precondition"
    CANNOT_BE_JUDGED = "cannot be judged"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    Refusal.PAUSED: "All automation is paused: by command, by the variable in the UI, or by the file on the worker.",
    Refusal.NOT_APPROVED: "A person has to approve this change, and nobody has.",
    Refusal.OVER_THE_LIMIT: "The change would pass a limit of the site: a number, a share, or changes per hour.",
    Refusal.BELOW_THE_FLOOR: "Fewer healthy members would be left than the site demands, or none at all.",
    Refusal.BUSY: "Another run of the same or a higher severity has this target.",
    Refusal.SUPERSEDED: "A graver run took the target over, or this run slept through its lease.",
    Refusal.TAKEN: "A person said 'I have it': automation stands back from this incident.",
    Refusal.COOLING_DOWN: "The same was done to this target a short while ago.",
    Refusal.TOO_MANY_SICK: "So much is sick at once that the cause lies elsewhere: a person has to look first.",
    Refusal.OUTSIDE_SCOPE: "The target lies outside the scope that this site allows.",
    Refusal.STALE_PLAN: "The change would no longer do what the plan said.",
    Refusal.ROLLOUT_IN_PROGRESS: "A rollout of the target is under way, paused or stuck.",
    Refusal.DISRUPTION_BUDGET: "The target's disruption budget does not allow it now.",
    Refusal.OWNED: "GitOps or Helm owns the target and would put the old state back.",
    Refusal.FROZEN: "The site is under a change freeze.",
    Refusal.EFFECT_UNKNOWN: "An earlier attempt may or may not have taken effect; it is not repeated blindly.",
    Refusal.NOT_OURS: "Somebody else has changed the value since; it is left alone.",
    Refusal.PRECONDITION: "The target is not in the state that the change needs.",
    Refusal.CANNOT_BE_JUDGED: "A guard could not be evaluated, so it refuses.",
}


class Refused(Exception):
    """A guard's no to one change, with what it saw."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(f"{refusal.value}: {detail}")
        self.refusal = refusal
        self.detail = detail
