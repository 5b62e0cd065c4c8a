"""Metrics without Prometheus: every endpoint is scraped and the numbers are aggregated here.

One endpoint behind a Service would be one random pod; so the addresses of all ready pods are scraped side by side,
and if one of them does not answer the aggregate is unknown, not smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tasks.model.evidence import Reading, number
from tasks.systems.metrics import (
    Gauge,
    Labels,
    MissingMetric,
    Point,
    Quantile,
    Question,
    Rate,
    Ratio,
    Slope,
    While,
)
from tasks.systems.tls import trusted

_LONGEST_WINDOW = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one endpoint at one moment of our steady clock."""

    endpoint: str
    moment: float
    samples: dict[tuple[str, Labels], float]

    def of(self, name: str, labels: Labels = ()) -> dict[Labels, float]:
        """The samples with exactly this name and at least these labels."""
        wanted = set(labels)
        return {found: value for (n, found), value in self.samples.items() if n == name and wanted <= set(found)}


def parse(text: str) -> dict[tuple[str, Labels], float]:
    """The samples of an exposition in Prometheus's text format.

    Raises:
        ValueError: the text is not in that format.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def types(text: str) -> dict[str, str]:
    """The types of an exposition's samples, by their names; `unknown` where none is declared. Raises as `parse`."""
    return {sample.name: family.type for family in text_string_to_metric_families(text) for sample in family.samples}


class Endpoints:
    """Metrics scraped from all endpoints that `addresses` names at the moment of asking.

    A rate or slope needs two scrapes; they are taken `window` apart, at most 10 s, whatever window was asked for.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], timeout: float = 5.0) -> None:
        self._addresses = addresses
        self._timeout = timeout

    def ask(self, question: Question) -> Reading[float]:
        """The answer from scrapes taken now: see `Metrics.ask`."""
        began = time.monotonic()
        match question:
            case Gauge():
                value = aggregate(question, self.scrape())
            case Ratio():
                scrapes = self.scrape()
                value = divide(aggregate(question.above, scrapes), aggregate(question.below, scrapes))
            case While():
                scrapes = self.scrape()
                gauge, level, bound = (
                    aggregate(each, scrapes) for each in (question.gauge, question.level, question.bound)
                )
                value = gauge if level >= bound else 0.0
            case Rate() | Slope() | Quantile():
                first = self.scrape()
                time.sleep(min(question.window, _LONGEST_WINDOW).total_seconds())
                value = between(question, first, self.scrape())
        reach = timedelta(seconds=time.monotonic() - began)
        return Reading(number(value), f"scrape: {question}", reach=reach, at=datetime.now(UTC))

    def history(self, question: Question, since: timedelta) -> Sequence[Point]:
        """Nothing: endpoints keep no history."""
        return ()

    def scrape(self) -> list[Scrape]:
        """One scrape of every endpoint.

        Raises:
            MissingMetric: there is no endpoint.
            httpx.HTTPError: one of them does not answer.
        """
        return [Scrape(page.endpoint, page.moment, parse(page.text)) for page in self._pages()]

    def types(self) -> dict[str, dict[str, str]]:
        """By endpoint, the types of its samples by their names. Raises as `scrape` does."""
        return {page.endpoint: types(page.text) for page in self._pages()}

    def _pages(self) -> list[_Page]:
        addresses = list(self._addresses())
        if not addresses:
            raise MissingMetric("there is no ready pod to scrape")
        with (
            httpx.Client(timeout=self._timeout, verify=trusted()) as http,
            ThreadPoolExecutor(min(16, len(addresses))) as pool,
        ):
            return list(pool.map(lambda address: _page(http, address), addresses))


@dataclass(frozen=True, slots=True)
class _Page:
    endpoint: str
    moment: float
    text: str


def _page(http: httpx.Client, address: str) -> _Page:
    moment = time.monotonic()
    response = http.get(address)
    response.raise_for_status()
    return _Page(address, moment, response.text)


def aggregate(gauge: Gauge, scrapes: Sequence[Scrape]) -> float:
    """The gauge over all scrapes; a pod without the series makes the whole unknown."""
    values: list[float] = []
    for scrape in scrapes:
        found = scrape.of(gauge.name, gauge.labels)
        if not found:
            raise MissingMetric(f"{scrape.endpoint} does not export {gauge.name}")
        values.extend(number(value) for value in found.values())
    match gauge.over_pods:
        case "sum":
            return sum(values)
        case "max":
            return max(values)
        case "min":
            return min(values)


def divide(above: float, below: float) -> float:
    """The quotient.

    Raises:
        MissingMetric: nothing to divide by: the ratio has no meaning.
    """
    if below == 0:
        raise MissingMetric("the denominator is 0")
    return above / below


def between(question: Rate | Slope | Quantile, first: Sequence[Scrape], second: Sequence[Scrape]) -> float:
    """What two rounds of scrapes say about the time between them."""
    seconds = second[0].moment - first[0].moment
    match question:
        case Slope():
            return (aggregate(question.gauge, second) - aggregate(question.gauge, first)) / seconds
        case Rate():
            growth = increases(question.name, question.labels, first, second)
            if not growth:
                raise MissingMetric(f"no endpoint exports {question.name}")
            return sum(growth.values()) / seconds
        case Quantile():
            return quantile(question, increases(f"{question.name}_bucket", question.labels, first, second))


def increases(name: str, labels: Labels, first: Sequence[Scrape], second: Sequence[Scrape]) -> dict[Labels, float]:
    """The growth of each counter, summed over endpoints; one that fell was reset and counts from 0."""
    before = {scrape.endpoint: scrape.of(name, labels) for scrape in first}
    growth: dict[Labels, float] = {}
    for scrape in second:
        for found, value in scrape.of(name, labels).items():
            old = before.get(scrape.endpoint, {}).get(found, value)
            growth[found] = growth.get(found, 0.0) + (value - old if value >= old else value)
    return growth


def quantile(question: Quantile, growth: dict[Labels, float]) -> float:
    """The quantile by a straight line inside its bucket, as Prometheus's histogram_quantile does."""
    buckets: dict[float, float] = {}
    for labels, count in growth.items():
        bound = float(dict(labels)["le"])
        buckets[bound] = buckets.get(bound, 0.0) + count
    ordered = sorted(buckets.items())
    if not ordered or ordered[-1][1] == 0:
        raise MissingMetric(f"nothing was observed in {question.name} during the window")
    rank = question.quantile * ordered[-1][1]
    low_bound, low_count = 0.0, 0.0
    for bound, count in ordered:
        if count >= rank:
            if bound == float("inf"):
                return low_bound
            share = (rank - low_count) / (count - low_count) if count > low_count else 1.0
            return low_bound + (bound - low_bound) * share
        low_bound, low_count = bound, count
    return low_bound
