"""The hidden knobs by which faults reach the programs: a hash in Redis that every program reads twice a second.

Nobody but the ground writes it. To the programs it stands for the world outside: how busy the customers are, and
whether the system downstream answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CONTROL_KEY = "lab:control"
POLL_SECONDS = 0.5

_FACTOR = "event_rate_factor"
_FACTOR_OF = f"{_FACTOR}:"


class Downstream(StrEnum):
    """What the system does that every task calls in the end."""

    ANSWERS = "answers"
    HANGS = "hangs"


@dataclass(frozen=True)
class Control:
    """The state of the world outside; the defaults are a normal day."""

    event_rate_factor: float = 1.0
    """How many times its usual rate a publisher has to send."""
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    """The factors of publishers for which it is another one, by their names."""
    downstream: Downstream = Downstream.ANSWERS

    def rate_factor_of(self, publisher: str) -> float:
        """How many times its usual rate that publisher has to send."""
        return self.rate_factors.get(publisher, self.event_rate_factor)

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> Control:
        """Read the hash; a field that is missing has its default.

        Raises:
            ValueError: a field holds what it cannot hold.
        """
        return cls(
            event_rate_factor=float(fields.get(_FACTOR, cls.event_rate_factor)),
            rate_factors={
                name.removeprefix(_FACTOR_OF): float(value)
                for name, value in fields.items()
                if name.startswith(_FACTOR_OF)
            },
            downstream=Downstream(fields.get("downstream", cls.downstream)),
        )

    def fields(self) -> dict[str, str]:
        """The hash as it is written to Redis."""
        special = {f"{_FACTOR_OF}{publisher}": str(factor) for publisher, factor in self.rate_factors.items()}
        return {_FACTOR: str(self.event_rate_factor), **special, "downstream": self.downstream.value}
