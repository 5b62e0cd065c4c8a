"""What runbooks say that they ask of metrics is what they ask: the doctor looks for no other series."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import SecretStr

from flows.catalogue import RUNBOOKS
from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Reading
from tasks.model.incident import Raiser
from tasks.runbook import AnyRunbook
from tasks.systems.metrics import Gauge, Point, Quantile, Question, Rate, Ratio, Slope, Wanted, While, wanted
from tests.unit.message_bus import bus

MANY = 1_000_000.0  # so many that no reading stops asking


class Listener:
    """Answers every question, and keeps it."""

    def __init__(self) -> None:
        self.heard: list[Question] = []

    def ask(self, question: Question) -> Reading[float]:
        self.heard.append(question)
        return Reading(MANY, "here")

    def history(self, question: Question, since: timedelta) -> Sequence[Point]:
        return ()


@pytest.mark.parametrize("runbook", RUNBOOKS.values(), ids=lambda runbook: str(runbook.id))
def test_a_runbook_asks_what_it_says(runbook: AnyRunbook, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener()
    monkeypatch.setattr(MessageBus, "metrics", lambda site: listener)
    site = bus(kubeconfig="/nowhere", redis_url=SecretStr("redis://127.0.0.1:1/0"))
    for probe in runbook.probes(site):
        with contextlib.suppress(Exception):  # those that ask others than metrics
            probe.read()
    for criterion in runbook.criteria(site, Raiser.HEALTH_CHECK):
        criterion.measure()
    assert set(runbook.asks(site)) == set(listener.heard)


A, B, C = (Gauge(name, "sum") for name in "abc")
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("question", "series"),
    [
        (A, [Wanted("a", "gauge")]),
        (Gauge("a", "max", (("x", "y"),)), [Wanted("a", "gauge", (("x", "y"),))]),
        (Rate("a_total", MINUTE), [Wanted("a_total", "counter")]),
        (Slope(A, MINUTE), [Wanted("a", "gauge")]),
        (Ratio(A, B), [Wanted("a", "gauge"), Wanted("b", "gauge")]),
        (While(A, B, C), [Wanted(name, "gauge") for name in "abc"]),
        (Quantile("a", 0.95, MINUTE), [Wanted("a_bucket", "histogram")]),
    ],
)
def test_the_series_of_a_question(question: Question, series: list[Wanted]) -> None:
    assert list(wanted(question)) == series
