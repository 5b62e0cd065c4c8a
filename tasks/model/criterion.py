"""When it is fixed: criteria of recovery as data, and what a sample says about one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from tasks.model.evidence import Reading

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that a number is held against, e.g. `Limit("<", 800, "tasks")`."""

    operator: Literal["<", "<=", ">", ">="]
    bound: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Whether the value is within the limit; NaN never is."""
        return not math.isnan(value) and _OPERATORS[self.operator](value, self.bound)

    def show(self, value: float) -> str:
        """The value as people read it in this unit (a ratio as per cent)."""
        if self.unit == "ratio":
            return f"{value:.0%}"
        if self.unit == "firing":
            return "firing" if value else "not firing"
        return f"{value:,.4g} {self.unit}".strip() if value % 1 else f"{value:,.0f} {self.unit}".strip()

    def __str__(self) -> str:
        if self.unit == "firing":
            return "not firing"
        return f"{self.operator} {self.show(self.bound)}"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of the document's validation criteria.

    `limit` gates; `inform` is only reported (the lower end of a utilisation band, say). `within` is the document's
    deadline after the last change, `settle` how long fresh samples must hold without a break, `stale_after` the
    age at which the newest sample no longer counts.
    """

    id: str
    text: str
    measure: Callable[[], Reading[float]]
    limit: Limit
    within: timedelta
    settle: timedelta
    stale_after: timedelta
    inform: Limit | None = None


class Holds(StrEnum):
    """Three values: only `YES` opens the gate."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look at a criterion showed. `moment` is our own steady clock, in seconds."""

    criterion: str
    holds: Holds
    moment: float
    shown: str
    why: str = ""
    value: float | None = None
    note: str = ""
