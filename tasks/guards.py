"""Guards refuse; they never shrug. Each looks at one change at the moment of acting.

A guard that cannot be evaluated refuses too. A change passes when no guard refuses. Which guards hold for a change,
for its undoing and for giving back is said where each is defined, and shown as a table in `docs/guards.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tasks.limits import Allowed
from tasks.model.change import Change, Diff, Effect, Happened, Once, Purpose
from tasks.model.claim import Draft
from tasks.model.outcome import Severity, Trust
from tasks.model.refusal import Refusal, Refused
from tasks.model.target import Target
from tasks.version import code_version


class Facts(Protocol):
    """What guards have to know beyond the target itself, read when it is asked. A reading that fails raises."""

    def now(self) -> datetime:
        """The time by the ledger's database."""

    def paused(self) -> str:
        """Why all automation is paused, or the empty string."""

    def taken_by(self) -> str:
        """The person who has the incident, or the empty string."""

    def approved(self, key: str) -> bool:
        """Whether a person approved the plan with this key, and the approval has not expired."""

    def other_holder(self, target: Target) -> tuple[str, Severity] | None:
        """Another run that has the target now: its runbook and severity."""

    def lost(self) -> str:
        """How this run lost a target that it had, or the empty string."""

    def last_done(self, change: Change) -> datetime | None:
        """When the same was last done to the same target on behalf of another incident."""

    def done_before(self, change: Change) -> datetime | None:
        """When the same change was last intended on behalf of this incident and not seen to fail or be refused."""

    def changes_since(self, moment: datetime, but: Change) -> int:
        """How many other changes were made at the site since then; `but` may be written down already."""

    def members_taken(self, group: str, but: Target) -> int:
        """On how many other members of a group this incident has acted."""

    def written(self, draft: Draft) -> bool:
        """Whether the numbers that are there are those that we wrote last."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One change that is put before the guards. `planned` is what the plan said that it would do."""

    change: Change
    diff: Diff
    purpose: Purpose
    planned: str
    key: str
    severity: Severity
    allowed: Allowed
    facts: Facts

    @property
    def disrupts(self) -> bool:
        return self.change.effect is not Effect.REVERSIBLE


@dataclass(frozen=True, slots=True)
class Guard:
    """One reason to refuse, and for which purposes it holds. `ask` returns why not, or the empty string."""

    refusal: Refusal
    holds: frozenset[Purpose]
    ask: Callable[[Asked], str]


GUARDS: list[Guard] = []

_ALWAYS = frozenset(Purpose)
_CHANGE = frozenset({Purpose.CHANGE})
_BACK = frozenset({Purpose.UNDO, Purpose.RESTORE})


def _guard(refusal: Refusal, holds: frozenset[Purpose]) -> Callable[[Callable[[Asked], str]], Callable[[Asked], str]]:
    def register(ask: Callable[[Asked], str]) -> Callable[[Asked], str]:
        GUARDS.append(Guard(refusal, holds, ask))
        return ask

    return register


# The order is the order in which a person would ask: may anything be done, may this run do it, may it be done to this
# target, may it be done now. The first refusal is the one that is told.


@_guard(Refusal.PAUSED, _ALWAYS)
def paused(asked: Asked) -> str:
    """No pause holds, neither for everything nor for this site."""
    return asked.facts.paused()


@_guard(Refusal.TAKEN, _ALWAYS)
def taken(asked: Asked) -> str:
    """No person has the incident."""
    who = asked.facts.taken_by()
    return f"{who} has this incident" if who else ""


@_guard(Refusal.SUPERSEDED, _ALWAYS)
def superseded(asked: Asked) -> str:
    """The run still holds what it held."""
    return asked.facts.lost()


@_guard(Refusal.BUSY, _ALWAYS)
def busy(asked: Asked) -> str:
    """No other run of the same or a higher severity has the target."""
    other = asked.facts.other_holder(asked.change.target)
    if other is None or asked.severity.graver_than(other[1]):
        return ""
    return f"{other[0]} ({other[1]}) has {asked.change.target}"


@_guard(Refusal.FROZEN, _CHANGE)
def frozen(asked: Asked) -> str:
    """No change freeze holds at the site."""
    freeze = asked.allowed.limits.freeze_at(asked.facts.now())
    return f"until {freeze.ends:%Y-%m-%d %H:%M} UTC{': ' if freeze.reason else ''}{freeze.reason}" if freeze else ""


@_guard(Refusal.OUTSIDE_SCOPE, _ALWAYS)
def outside_scope(asked: Asked) -> str:
    """The target lies in a scope that the site allows."""
    if asked.change.target.scope in asked.allowed.scopes:
        return ""
    return f"{asked.change.target} is not in {', '.join(sorted(asked.allowed.scopes)) or 'any allowed scope'}"


@_guard(Refusal.OWNED, _CHANGE)
def owned(asked: Asked) -> str:
    """Nobody would put the old state back."""
    owner = asked.diff.around.owner
    if not owner or any(owner.startswith(name) for name in asked.allowed.limits.tolerated_owners):
        return ""
    return f"{asked.change.target} belongs to {owner}: change it there"


@_guard(Refusal.OVER_THE_LIMIT, _CHANGE)
def over_the_limit(asked: Asked) -> str:
    """Numbers, shares and rates of the site are kept."""
    limits = asked.allowed.limits
    for what, amount in asked.diff.amounts.items():
        ceiling = asked.allowed.ceilings.get(what)
        if ceiling is not None and amount > ceiling:
            return f"{amount} {what} are more than the site's {ceiling}"
    around = asked.diff.around
    if around.group:
        taken = asked.facts.members_taken(around.group, asked.change.target) + 1
        if around.group_size <= 0 or taken / around.group_size > limits.share_per_run:
            return f"{taken} of {around.group_size} {around.group} are more than {limits.share_per_run:.0%}"
    made = asked.facts.changes_since(asked.facts.now() - timedelta(hours=1), asked.change)
    if made >= limits.changes_per_hour:
        return f"{made} changes were made within the hour, {limits.changes_per_hour} are allowed"
    return ""


@_guard(Refusal.BELOW_THE_FLOOR, _ALWAYS)
def below_the_floor(asked: Asked) -> str:
    """Enough healthy members are left, and never none. What was fewer already may be so again."""
    floor = asked.allowed.floors.get(asked.change.target.name, 1)
    left = asked.diff.amounts.get("replicas")
    if left is not None and left < floor and asked.purpose is Purpose.CHANGE:
        return f"{left} replicas would be left, at least {floor} must be"
    around = asked.diff.around
    if around.takes_away and around.healthy is not None and around.healthy - around.takes_away < max(floor, 1):
        return f"{around.takes_away} of {around.healthy} healthy members would go, at least {max(floor, 1)} must stay"
    return ""


@_guard(Refusal.TOO_MANY_SICK, _ALWAYS)
def too_many_sick(asked: Asked) -> str:
    """Enough members are well, or the change disrupts none."""
    healthy, wanted = asked.diff.around.healthy, asked.diff.around.wanted
    if not asked.disrupts or healthy is None or not wanted:
        return ""
    sick = 1 - healthy / wanted
    most = asked.allowed.limits.max_sick_share
    return f"{wanted - healthy} of {wanted} members are sick, more than {most:.0%}" if sick > most else ""


@_guard(Refusal.ROLLOUT_IN_PROGRESS, _ALWAYS)
def rollout_in_progress(asked: Asked) -> str:
    """No rollout is under way, or the change disrupts nothing."""
    return asked.diff.around.rollout if asked.disrupts else ""


@_guard(Refusal.DISRUPTION_BUDGET, _ALWAYS)
def disruption_budget(asked: Asked) -> str:
    """The disruption budget allows what the change takes away."""
    around = asked.diff.around
    if around.budget is None or around.takes_away <= around.budget:
        return ""
    return f"{around.takes_away} members would go at a time, the disruption budget allows {around.budget}"


@_guard(Refusal.COOLING_DOWN, _CHANGE)
def cooling_down(asked: Asked) -> str:
    """The same disruption was not made a short while ago on behalf of another incident."""
    if not asked.disrupts:
        return ""
    last = asked.facts.last_done(asked.change)
    if last is None or asked.facts.now() - last >= asked.allowed.limits.cooldown:
        return ""
    return f"the same was done at {last:%H:%M:%S} UTC, again after {asked.allowed.limits.cooldown_minutes:g} min"


@_guard(Refusal.EFFECT_UNKNOWN, _ALWAYS)
def effect_unknown(asked: Asked) -> str:
    """What must not be done twice was not done before, or clearly did not arrive."""
    if not isinstance(asked.change, Once):
        return ""
    before = asked.facts.done_before(asked.change)
    if before is None or asked.change.happened(before) is Happened.NO:
        return ""
    return f"it was attempted at {before:%H:%M:%S} UTC and may have taken effect: look before it is done again"


@_guard(Refusal.NOT_OURS, _BACK)
def not_ours(asked: Asked) -> str:
    """The number that is there is one that we wrote."""
    # What follows, e.g. a restart that makes pods read the number, writes none.
    draft = asked.diff.draft
    if draft is None or asked.facts.written(draft):
        return ""
    return f"{asked.change.field} is {asked.diff.before} now, which we did not write"


@_guard(Refusal.STALE_PLAN, _ALWAYS)
def stale_plan(asked: Asked) -> str:
    """The change does what the plan said."""
    if asked.diff.after == asked.planned:
        return ""
    return f"the plan said {asked.planned}, now it would be {asked.diff.after}: plan again"


@_guard(Refusal.NOT_APPROVED, _CHANGE)
def not_approved(asked: Asked) -> str:
    """A person approved the plan, where the trust level or the change itself asks for that. (Asked last: nobody is
    asked to approve what another guard refuses.)"""
    why = asks_for(asked.change, asked.allowed.trust)
    if not why or asked.facts.approved(asked.key):
        return ""
    return f"{why}; approve plan {asked.key}" if asked.key else why


def asks_for(change: Change, trust: Trust) -> str:
    """Why a person has to approve the change, or the empty string."""
    if change.asks:
        return change.asks
    if change.effect is Effect.DESTRUCTIVE:
        return "the change is destructive"
    return "" if trust is Trust.ACT else f"this site trusts the runbook to {trust}"


def check(asked: Asked, guards: Iterable[Guard] | None = None) -> None:
    """Asks all guards that hold for the purpose.

    Raises:
        Refused: one of them says no, or cannot be evaluated.
    """
    for guard in GUARDS if guards is None else guards:
        if asked.purpose not in guard.holds:
            continue
        try:
            why_not = guard.ask(asked)
        except Exception as error:
            raise Refused(Refusal.CANNOT_BE_JUDGED, f"{guard.refusal}: {error}") from error
        if why_not:
            raise Refused(guard.refusal, why_not)


def plan_key(site: str, matter: str, changes: Sequence[tuple[Change, Diff]]) -> str:
    """The key of a plan: a hash of site, targets, values and code version, and of what it is about.

    An approval is for one key, so it never authorises another change, nor the same change by other code, nor the same
    one on another day: `matter` is the incident, or the run that a person started.
    """
    planned = [(c.target.kind, c.target.scope, c.target.name, c.field, c.wanted, d.after) for c, d in changes]
    # As JSON, because joined strings could spell two different plans alike.
    return hashlib.sha256(json.dumps([site, matter, planned, code_version()]).encode()).hexdigest()[:12]
