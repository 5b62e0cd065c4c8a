"""Questions to metrics, asked the same way of Prometheus and of scraped endpoints.

A question names the series exactly and says how to aggregate over pods: `max` for a number that every pod reports
of something shared (the depth of a queue in Redis), `sum` for what each pod has of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from tasks.model.evidence import Reading

Aggregate = Literal["max", "sum", "min"]
Labels = tuple[tuple[str, str], ...]


class MissingMetric(Exception):
    """No sample of the series exists. That is not 0: it is unknown."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """The present value of a gauge, over all pods."""

    name: str
    over_pods: Aggregate
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Ratio:
    """One gauge divided by another, each aggregated over all pods first."""

    above: Gauge
    below: Gauge


@dataclass(frozen=True, slots=True)
class While:
    """A gauge while another one is at its bound, else 0: the tasks that wait while every worker is busy.

    Each is aggregated over all pods first. Where bound and level are both 0 the bound is reached: of no workers, none
    is free.
    """

    gauge: Gauge
    level: Gauge
    bound: Gauge


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a counter grows, per second, summed over all pods; resets are allowed for."""

    name: str
    window: timedelta
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Slope:
    """How fast a gauge changes, per second (negative: falling), by a straight line through the window."""

    gauge: Gauge
    window: timedelta


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a histogram, over all pods, of what was observed within the window."""

    name: str
    quantile: float
    window: timedelta
    labels: Labels = ()


Question = Gauge | Ratio | While | Rate | Slope | Quantile


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series that must be exported, by the name of its samples, and as what: a rate of a gauge is no rate."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    labels: Labels = ()


def wanted(question: Question) -> tuple[Wanted, ...]:
    """The series that a question rests on."""
    match question:
        case Gauge():
            return (Wanted(question.name, "gauge", question.labels),)
        case Rate():
            return (Wanted(question.name, "counter", question.labels),)
        case Ratio():
            return (*wanted(question.above), *wanted(question.below))
        case While():
            return tuple(one for gauge in (question.gauge, question.level, question.bound) for one in wanted(gauge))
        case Slope():
            return wanted(question.gauge)
        case Quantile():
            return (Wanted(f"{question.name}_bucket", "histogram", question.labels),)


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a moment, for plots."""

    at: datetime
    value: float


class Metrics(Protocol):
    """Whoever can answer questions about metrics."""

    def ask(self, question: Question) -> Reading[float]:
        """The answer, with how far back it reaches and how old its newest sample is.

        Raises:
            MissingMetric: no such series.
            UnknownReading: the answer is not a number.
        """

    def history(self, question: Question, since: timedelta) -> Sequence[Point]:
        """The answers of the last while, oldest first; empty where nobody keeps them."""
