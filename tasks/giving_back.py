"""Giving back: claims are released or relaxed, and the field takes the value that the remaining ones leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.case import Case, Planned
from tasks.claims import Releasing
from tasks.ledger import ClaimRecord, ClaimState, Holding
from tasks.making import RETRIES, Making
from tasks.model.change import Change, Diff, Effect, PreconditionFailed, Purpose, describe
from tasks.model.claim import Bound, Claim
from tasks.model.refusal import Refusal, Refused
from tasks.platform import Platform
from tasks.systems.errors import explain

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Given:
    """What came of giving back: whether it was done, and the sentence for the report."""

    done: bool
    detail: str


def give_back(
    case: Case[P, F], holding: Holding, ending: Sequence[ClaimRecord], relaxed: Mapping[int, int], purpose: Purpose
) -> Given:
    """Ends claims of a holding and relaxes others to a new value; `relaxed` is by the claim's id.

    What has to follow a number that was given back follows before its claims end: who is killed in between comes back
    to the claims, and to nothing else.
    """
    ids = [claim.id for claim in ending]
    remaining = tuple(
        Claim(claim.claim.bound, relaxed.get(claim.id, claim.claim.value))
        for claim in holding.claims
        if claim.id not in ids
    )
    reason = "undone: it did not help" if purpose is Purpose.UNDO else "given back"
    change = Releasing(
        case.platform.knob(holding.target, holding.field), holding.written, holding.baseline, remaining, reason
    )
    option = ending[0].option if ending else holding.claims[0].option
    given = make(case, option, change, purpose)
    follow = case.platform.follow_up(holding.target, holding.field) if given.done and ending else None
    if follow is not None:
        followed = make(case, option, follow, purpose)
        given = Given(followed.done, f"{given.detail}; {followed.detail}")
    if given.done:
        case.ledger.claims.end(ids, ClaimState.RELEASED, reason)
        for id, value in relaxed.items():
            case.ledger.claims.change_value(id, value)
    return given


def out_of_reach(case: Case[P, F], holding: Holding) -> str:
    """Why the platform cannot turn this number any more, e.g. because a setting of the site was renamed; empty when it
    can. Then a person has to give it back."""
    try:
        case.platform.knob(holding.target, holding.field)
    except ValueError as error:
        return str(error)
    return ""


def make(case: Case[P, F], option: str, change: Change, purpose: Purpose) -> Given:
    """Makes one change of giving back, as a task of the run. A value that is not ours any more ends our claims."""
    try:
        diff = change.diff()
    except Exception as error:  # what cannot be read is not written
        why = Refusal.PRECONDITION if isinstance(error, PreconditionFailed) else Refusal.CANNOT_BE_JUDGED
        return _refused(case, option, change, None, Refused(why, explain(error)), purpose)
    if not diff.needed:
        return Given(True, f"{change.target}, {change.field}: {diff}")
    try:
        case.check(change, diff, diff.after, "", purpose)
    except Refused as refused:
        if refused.refusal is Refusal.NOT_OURS:
            _leave(case, change, str(refused))
        return _refused(case, option, change, diff, refused, purpose)
    making = Making(case, option, Planned(change, diff, None, ""), purpose)
    future: Any = case.start("give back", f"give back: {change.target.name} {diff}", making.attempt, retries=RETRIES)
    future.wait()
    case.after = [future]
    if future.state.is_completed():
        return Given(True, f"{change.target}, {change.field}: {diff}")
    return Given(False, f"{change.target}, {change.field}: {future.state.message}")


def _refused(
    case: Case[P, F], option: str, change: Change, diff: Diff | None, refused: Refused, purpose: Purpose
) -> Given:
    case.refuse(option, change, diff, str(refused), purpose)
    case.note("refused", f"{describe(change)}: {refused}")
    return Given(False, str(refused))


def _leave(case: Case[P, F], change: Change, why: str) -> None:
    holding = case.ledger.claims.holding(case.site, change.target, change.field)
    if holding is not None:
        case.ledger.claims.end([claim.id for claim in holding.claims], ClaimState.LEFT, why)


def undo(case: Case[P, F]) -> None:
    """After a failed gate: takes back what this run changed without effect, where that disturbs nobody.

    What came last goes first: else pods that a lower number takes away are in the way of the rollout that another one
    needs.
    """
    ours_by_holding = [
        (holding, [c for c in holding.claims if c.run == case.run_id and c.option in case.useless])
        for holding in case.ledger.claims.holdings(case.site)
    ]
    useless = [(holding, ours) for holding, ours in ours_by_holding if ours]
    for holding, ours in sorted(useless, key=lambda one: one[1][-1].id, reverse=True):
        if why := out_of_reach(case, holding):
            case.note("kept", why)
            continue
        if _disturbs(case, holding, ours[0].claim):
            case.note("kept", f"{holding.field} of {holding.target}: undoing it would disrupt")
            continue
        given = give_back(case, holding, ours, {}, Purpose.UNDO)
        case.note("undone" if given.done else "kept", given.detail)


def _disturbs(case: Case[P, F], holding: Holding, claim: Claim) -> bool:
    """Whether taking a claim back, or what has to follow that, interrupts running work."""
    effect = case.platform.knob(holding.target, holding.field).effect(lowers=claim.bound is Bound.AT_LEAST)
    follow = case.platform.follow_up(holding.target, holding.field)
    return any(e is not Effect.REVERSIBLE for e in (effect, follow.effect if follow else effect))
