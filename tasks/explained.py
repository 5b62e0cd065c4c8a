"""Alerts that our own claims explain: held back while the claim is in force, and shown as such.

A run pauses event sources on purpose. An alert that says only that they are silent must not start another run, nor
call anybody; and it must not be lost: when the claim is given back, or should have been, and the alert is still on, it
counts like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.ledger import ClaimRecord, ClaimState, Ledger
from tasks.model.site import Address, SideEffect


@dataclass(frozen=True, slots=True)
class Ringing:
    """An alert that is on: its name, its labels, and since when."""

    alert: str
    labels: Mapping[str, str]
    since: datetime


def explaining(ledger: Ledger, site: Address, ringing: Ringing) -> ClaimRecord | None:
    """The claim that explains an alert of this site; None where none does, or somebody sees to the alert already.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    effects = [effect for effect in site.side_effects if effect.alert == ringing.alert]
    if not effects or ledger.incidents.of(site.site, ringing.alert):
        return None
    now, fades = ledger.now(), timedelta(seconds=max(effect.fades for effect in effects))
    claims = ledger.claims.in_force_since(site.site, now - fades)
    return next((c for c in claims for effect in effects if explains(c, effect, ringing, now)), None)


def explains(claim: ClaimRecord, effect: SideEffect, ringing: Ringing, now: datetime) -> bool:
    """Whether a claim explains an alert. Pure.

    Not one that was on before the claim was made, nor one that is still on when the claim should have been given back:
    what was to be temporary has become trouble of its own. What was left to a person is explained by that person.
    """
    named = ringing.labels.get(effect.label, claim.target.name)
    if claim.state is ClaimState.OPEN:
        holds = now < claim.due_at
    else:
        gone = now - claim.ended_at if claim.ended_at else timedelta.max
        holds = claim.state is ClaimState.RELEASED and gone < timedelta(seconds=effect.fades)
    return (
        holds
        and ringing.since >= claim.made_at
        and claim.field in effect.fields
        and claim.claim.bound is effect.bound
        and claim.target.name in effect.targets
        and named == claim.target.name
    )


def why_held_back(claim: ClaimRecord) -> str:
    """The claim that explains an alert, as a reason to hold it back."""
    return (
        f"held back: {claim.field} of {claim.target} is {claim.claim} on behalf of {claim.runbook} "
        f"(run {claim.run[:8]}), until {claim.due_at:%Y-%m-%d %H:%M} UTC at the latest"
    )
