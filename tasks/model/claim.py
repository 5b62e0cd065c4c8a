"""Claims: a change to a number is a claim on it, not a new value.

All claims on one field rest on one baseline: what was there before the first of them. The live value follows from
the baseline and the open claims, so claims may be released in any order and the last one leaves the baseline.
Source of the rule: catalogue, judgement calls 1 to 4 (numbers in the documents are floors or ceilings).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tasks.model.target import Target

Levels = Mapping[str, int]
"""The numbers of one field as they are written, e.g. `{"replicas": 2}` or `{"minReplicas": 2, "maxReplicas": 10}`."""


class Bound(StrEnum):
    """A claim is a floor or a ceiling, never a value."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Claim:
    """At least, or at most, so much."""

    bound: Bound
    value: int

    def __str__(self) -> str:
        return f"{self.bound} {self.value}"


def settle(baseline: int, claims: Iterable[Claim]) -> int:
    """The value that follows from a baseline and the open claims. A ceiling beats a floor: it is the brake."""
    claims = tuple(claims)
    value = max([baseline, *(claim.value for claim in claims if claim.bound is Bound.AT_LEAST)])
    return min([value, *(claim.value for claim in claims if claim.bound is Bound.AT_MOST)])


@dataclass(frozen=True, slots=True)
class Draft:
    """Numbers as a change is about to write them. `claim` is None when a claim is given back."""

    target: Target
    field: str
    claim: Claim | None
    before: Levels
    after: Levels
