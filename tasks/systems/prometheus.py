"""Prometheus: questions compiled to PromQL, each answer with the age of the samples it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tasks.model.evidence import Reading, UnknownReading, number
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
    wanted,
)
from tasks.systems.tls import trusted

LATELY = timedelta(minutes=5)  # what a pod exported then, it should export now


class QueryFailed(Exception):
    """Prometheus refused a query."""


def promql(question: Question, scope: Labels = ()) -> str:
    """The question as PromQL, restricted to the series with the labels of `scope`."""
    match question:
        case Gauge():
            return f"{question.over_pods}({selector(question.name, scope + question.labels)})"
        case Ratio():
            return f"{promql(question.above, scope)} / {promql(question.below, scope)}"
        case While():
            gauge, level, bound = (promql(each, scope) for each in (question.gauge, question.level, question.bound))
            return f"{gauge} * ({level} >= bool {bound})"
        case Rate():
            return f"sum(rate({selector(question.name, scope + question.labels)}[{seconds(question.window)}]))"
        case Slope():
            step = max(1, int(question.window.total_seconds()) // 12)
            return f"deriv({promql(question.gauge, scope)}[{seconds(question.window)}:{step}s])"
        case Quantile():
            bucket = selector(f"{question.name}_bucket", scope + question.labels)
            return f"histogram_quantile({question.quantile}, sum by (le) (rate({bucket}[{seconds(question.window)}])))"


def selector(name: str, labels: Labels) -> str:
    """`name{a="b"}` with the values quoted as PromQL demands."""
    if not labels:
        return name
    quoted = ",".join(f"{key}={quote(value)}" for key, value in labels)
    return f"{name}{{{quoted}}}"


def quote(value: str) -> str:
    """A PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def seconds(duration: timedelta) -> str:
    """A PromQL duration."""
    return f"{max(1, round(duration.total_seconds()))}s"


def _series(question: Question, scope: Labels) -> tuple[str, ...]:
    """The series whose sample times decide how fresh the answer is."""
    return tuple(selector(series.name, scope + series.labels) for series in wanted(question))


def _shrinking(question: Question, scope: Labels) -> tuple[str, ...]:
    """The series of whose pods none may be left out. Where the highest counts, each pod tells as much by itself."""
    match question:
        case Gauge():
            return () if question.over_pods == "max" else _series(question, scope)
        case Slope():
            return _shrinking(question.gauge, scope)
        case Ratio():
            return (*_shrinking(question.above, scope), *_shrinking(question.below, scope))
        case While():
            gauges = (question.gauge, question.level, question.bound)
            return tuple(one for gauge in gauges for one in _shrinking(gauge, scope))
        case Rate() | Quantile():
            return _series(question, scope)


def _reach(question: Question, oldest: timedelta) -> timedelta:
    """How far back an answer reaches, when the oldest of the present samples is so old."""
    match question:
        case Rate() | Quantile():
            return question.window
        case Slope():  # each of its steps takes the sample that is present then
            return question.window + oldest
        case Gauge() | Ratio() | While():
            return oldest


@dataclass(frozen=True, slots=True)
class RuleState:
    """An alerting rule as Prometheus last evaluated it."""

    state: str
    evaluated: timedelta  # ago
    healthy: bool
    error: str


class Prometheus:
    """A Prometheus server; `scope` is the label set that restricts every question to one site."""

    def __init__(self, url: str, scope: Labels = (), timeout: float = 5.0, token: str | None = None) -> None:
        self._scope = scope
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, verify=trusted())

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The data that an endpoint of the HTTP API answers.

        Raises:
            QueryFailed: it refused the query.
            httpx.HTTPError: no answer, or another error.
        """
        response = self._http.get(path, params=params)
        if response.status_code in (400, 422):
            raise QueryFailed(response.json().get("error", response.text)[:300])
        response.raise_for_status()
        return response.json()["data"]

    def show(self, path: str) -> Any | None:
        """The data of an endpoint about the server itself, which not every server shows: None where it does not.

        Raises:
            httpx.TransportError: no answer.
        """
        try:
            return self.get(path)
        except (httpx.HTTPStatusError, QueryFailed, ValueError, KeyError):
            return None

    def _scalar(self, query: str) -> float:
        data = self.get("/api/v1/query", {"query": query})
        if data["resultType"] == "scalar":
            return float(data["result"][1])
        if not data["result"]:
            raise MissingMetric(f"nobody exports {query}")
        return float(data["result"][0]["value"][1])

    def ask(self, question: Question) -> Reading[float]:
        """The answer by Prometheus's own clock: see `Metrics.ask`."""
        query = promql(question, self._scope)
        series = _series(question, self._scope)
        ages = [self._ages(each) for each in series]
        if not isinstance(question, Rate | Quantile):
            for each in series:
                self._require_numbers(each)
        if isinstance(question, While):
            self._require_both(*series[-2:])
        for each in _shrinking(question, self._scope):
            self._require_all_pods(each)
        lag = max(newest for newest, _ in ages)
        oldest = max(lag, *(oldest for _, oldest in ages))
        value = number(self._scalar(query))
        return Reading(value, query, reach=_reach(question, oldest), lag=lag, at=datetime.now(UTC))

    def _require_numbers(self, series: str) -> None:
        """Every pod reports a number. `max` and `min` pass over NaN in silence, so one sick pod would be left out."""
        found = self.get("/api/v1/query", {"query": f"count({series} != {series} or abs({series}) == Inf)"})["result"]
        if found:
            raise UnknownReading(f"{found[0]['value'][1]} of the series {series} are not a finite number")

    def _require_both(self, level: str, bound: str) -> None:
        """Every pod reports both. A pod whose level alone is missing would make the whole seem below its bound."""
        if not self.get("/api/v1/query", {"query": f"count({level}) == count({bound})"})["result"]:
            raise MissingMetric(f"not every pod exports both {level} and {bound}")

    def _require_all_pods(self, series: str) -> None:
        """No pod that exported this lately is there and cannot be scraped: without it the whole would seem smaller."""
        lately = f"last_over_time({series}[{seconds(LATELY)}])"
        found = self.get("/api/v1/query", {"query": f"count((up == 0) and on (job, instance) {lately})"})["result"]
        if found:
            raise MissingMetric(f"{found[0]['value'][1]} of the pods that export {series} cannot be scraped")

    def _ages(self, series: str) -> tuple[timedelta, timedelta]:
        """How old the newest and the oldest of the present samples are, by Prometheus's clock."""
        stamps = f"timestamp({series})"
        oldest = self._scalar(f"time() - min({stamps})")
        newest = self._scalar(f"time() - max({stamps})")
        return timedelta(seconds=max(0.0, newest)), timedelta(seconds=max(0.0, oldest))

    def history(self, question: Question, since: timedelta) -> Sequence[Point]:
        """The answers of the last while, at most 120 points, oldest first."""
        end = self._scalar("time()")
        step = max(1.0, since.total_seconds() / 120)
        data = self.get(
            "/api/v1/query_range",
            {
                "query": promql(question, self._scope),
                "start": str(end - since.total_seconds()),
                "end": str(end),
                "step": str(step),
            },
        )
        values = data["result"][0]["values"] if data["result"] else []
        points = ((datetime.fromtimestamp(float(at), UTC), float(value)) for at, value in values)
        return [Point(at, value) for at, value in points if math.isfinite(value)]

    def rule(self, alert: str, site: Mapping[str, str]) -> RuleState:
        """The alerting rule of this name, as it stands for one site.

        One rule may watch many sites. An alert of it concerns this one unless a label says otherwise: a label that a
        rule has aggregated away says nothing.

        Raises:
            MissingMetric: there is no such rule, so its silence would mean nothing.
        """
        groups = self.get("/api/v1/rules", {"type": "alert", "rule_name[]": alert})["groups"]
        rules = [rule for group in groups for rule in group["rules"] if rule["name"] == alert]
        if not rules:
            raise MissingMetric(f"Prometheus has no alerting rule {alert}")
        now = self._scalar("time()")
        own = {**dict(self._scope), **site}
        alerts = [found for rule in rules for found in rule["alerts"]]
        states = {
            found["state"]
            for found in alerts
            if all(found["labels"].get(label, value) == value for label, value in own.items())
        }
        state = next((s for s in ("firing", "pending") if s in states), "inactive")
        evaluated = min(datetime.fromisoformat(rule["lastEvaluation"]).timestamp() for rule in rules)
        return RuleState(
            state,
            timedelta(seconds=max(0.0, now - evaluated)),
            all(rule["health"] == "ok" for rule in rules),
            "; ".join(rule["lastError"] for rule in rules if rule.get("lastError")),
        )
