"""Knobs: numeric fields of targets, as claims turn them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from tasks.model.change import Effect, Surroundings
from tasks.model.claim import Claim, Levels
from tasks.model.target import Target


@dataclass(frozen=True, slots=True)
class Dial:
    """A knob as it was read. `version` is what the target can check when a write arrives."""

    levels: Levels
    version: str
    note: str = ""
    around: Surroundings = field(default_factory=Surroundings)


class Knob(Protocol):
    """One numeric field of one target. It can be built again from its target and field, in another process."""

    @property
    def target(self) -> Target: ...

    @property
    def field(self) -> str: ...

    def read(self) -> Dial:
        """Reads the field.

        Raises:
            PreconditionFailed: the knob has no effect as things are, e.g. an autoscaler has taken over.
        """

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        """The levels that follow from a baseline and the open claims. Pure."""

    def show(self, levels: Levels) -> str:
        """The levels in words."""

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        """The levels as what the site's limits count, e.g. `replicas`."""

    def effect(self, *, lowers: bool) -> Effect:
        """How much turning it up, or down, can hurt."""

    def write(self, levels: Levels, version: str) -> None:
        """Writes the levels.

        Raises:
            Conflict: the field is not as it was when `version` was read.
        """

    def verify(self, levels: Levels, within: timedelta) -> str:
        """Waits until the levels are in effect and says how that was seen.

        Raises:
            NotInEffect: they are not after `within`.
        """
