"""What the criteria of the message bus measure, and where each of them opens the gate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flows.catalogue import RUNBOOKS
from flows.message_bus.platform import MessageBus
from tasks.model.criterion import Criterion
from tasks.model.evidence import Reading
from tasks.model.incident import Raiser
from tasks.systems.metrics import Gauge, Metrics, Point, Question, Rate, Ratio, Slope
from tests.unit.message_bus import bus


def criterion(id: str, criterion_id: str) -> Criterion:
    return next(c for c in RUNBOOKS[id].criteria(bus(), Raiser.ALERTMANAGER) if c.id == criterion_id)


class Answering:
    """Metrics that answer with these numbers: of the queue, its slope, the share of busy workers, the tasks per
    second. What is None is missing."""

    def __init__(self, depth: float, slope: float | None = 0, busy: float = 1, done: float = 0) -> None:
        self._depth, self._slope, self._busy, self._done = depth, slope, busy, done

    def ask(self, question: Question) -> Reading[float]:
        reach = timedelta(minutes=5)
        match question:
            case Gauge(name="orchestration_task_queue_pending", over_pods="max"):
                return Reading(self._depth, "depth", lag=timedelta(seconds=1))
            case Slope(gauge=Gauge(name="orchestration_task_queue_pending", over_pods="max")):
                assert self._slope is not None, "a short queue need not be asked for its slope"
                return Reading(self._slope, "slope", reach, timedelta(seconds=2))
            case Ratio(above=Gauge(over_pods="sum"), below=Gauge(over_pods="sum")):
                return Reading(self._busy, "busy")
            case Rate(name="orchestration_tasks_completed_total"):
                return Reading(self._done, "rate", reach)
        raise AssertionError(f"nothing that a criterion asks: {question}")

    def history(self, question: Question, since: timedelta) -> tuple[Point, ...]:
        return ()


# runbook, criterion, what the metrics say -> whether it holds
HOLD: list[tuple[str, str, Answering, bool]] = [
    ("high_task_queue_depth", "queue_below_warning", Answering(799), True),
    ("high_task_queue_depth", "queue_below_warning", Answering(800), False),
    ("high_task_queue_depth", "utilisation_band", Answering(0, busy=0.8), True),
    ("high_task_queue_depth", "utilisation_band", Answering(0, busy=0.81), False),
    ("high_task_queue_depth", "utilisation_band", Answering(0, busy=0), True),
    ("critical_task_queue_depth", "queue_recovering", Answering(949), True),
    ("critical_task_queue_depth", "queue_recovering", Answering(950), False),
    ("critical_task_queue_depth", "queue_draining", Answering(940, slope=-0.1), True),
    ("critical_task_queue_depth", "queue_draining", Answering(940, slope=0), False),
    ("critical_task_queue_depth", "queue_draining", Answering(940, slope=3), False),
    ("critical_task_queue_depth", "queue_draining", Answering(800, slope=0), False),
    ("critical_task_queue_depth", "queue_draining", Answering(799, slope=None), True),
    ("worker_pool_exhaustion", "utilisation", Answering(0, busy=0.89), True),
    ("worker_pool_exhaustion", "utilisation", Answering(0, busy=0.9), False),
    ("worker_pool_exhaustion", "draining", Answering(300, slope=-1), True),
    ("worker_pool_exhaustion", "draining", Answering(300, slope=0), False),
    ("worker_pool_exhaustion", "draining", Answering(50, slope=1), False),
    ("worker_pool_exhaustion", "draining", Answering(0, slope=None), True),  # an empty queue cannot drain
    ("worker_pool_exhaustion", "throughput", Answering(0, done=0.01), True),
    ("worker_pool_exhaustion", "throughput", Answering(0, done=0), False),
]


@pytest.mark.parametrize(("id", "criterion_id", "metrics", "holds"), HOLD)
def test_what_the_criteria_measure(
    monkeypatch: pytest.MonkeyPatch, id: str, criterion_id: str, metrics: Metrics, holds: bool
) -> None:
    monkeypatch.setattr(MessageBus, "metrics", lambda bus: metrics)
    found = criterion(id, criterion_id)
    assert found.limit.holds(found.measure().value) is holds


def test_a_queue_that_is_judged_by_its_slope_reaches_as_far_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessageBus, "metrics", lambda bus: Answering(940, slope=-1))
    reading = criterion("critical_task_queue_depth", "queue_draining").measure()
    assert (reading.reach, reading.lag) == (timedelta(minutes=5), timedelta(seconds=2))
