"""The task queue and its workers, as their metrics tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Probe, Reading, UnknownReading
from tasks.systems.metrics import Gauge, Quantile, Rate, Ratio, Slope, While


def queue_depth(bus: MessageBus) -> Gauge:
    """Tasks waiting. The queue is shared in Redis and every pod reports it, so: the highest, not the sum."""
    return Gauge(bus.series.pending, over_pods="max")


def utilisation(bus: MessageBus) -> Ratio:
    """Busy workers as a share of all workers, over all pods."""
    return Ratio(Gauge(bus.series.workers_active, over_pods="sum"), Gauge(bus.series.workers_max, over_pods="sum"))


def waiting_while_busy(bus: MessageBus) -> While:
    """Tasks waiting while every worker of every pod is busy, else 0."""
    busy = utilisation(bus)
    return While(queue_depth(bus), busy.above, busy.below)


def standing_queue(bus: MessageBus, few: float) -> Reading[float]:
    """Tasks waiting in a queue that does not drain; 0 while it drains.

    Fewer than `few` are told as they are, whichever way the queue goes: a short queue need not drain and an empty one
    cannot, but a long one has to (D068).
    """
    metrics = bus.metrics()
    depth = metrics.ask(queue_depth(bus))
    if depth.value < few:
        return depth
    slope = metrics.ask(Slope(queue_depth(bus), bus.pace.window))
    value = 0.0 if slope.value < 0 else depth.value
    return Reading(value, slope.source, max(depth.reach, slope.reach), max(depth.lag, slope.lag))


def throughput(bus: MessageBus) -> Rate:
    """Tasks completed per second, over all pods: the rate, not the counter (D012)."""
    return Rate(bus.series.completed, bus.pace.window)


def queue_questions(bus: MessageBus) -> tuple[Gauge, Gauge, Rate, Slope]:
    """What `task_queue` asks: waiting, running, completed per second, gained per second."""
    running = Gauge(bus.series.running, over_pods="max")
    return queue_depth(bus), running, throughput(bus), Slope(queue_depth(bus), bus.pace.window)


def pool_questions(bus: MessageBus) -> tuple[Gauge, Gauge, Gauge]:
    """What `worker_pool` asks: busy workers, all workers, the workers of the smallest pool."""
    workers = bus.series.workers_max
    active = Gauge(bus.series.workers_active, over_pods="sum")
    return active, Gauge(workers, over_pods="sum"), Gauge(workers, over_pods="min")


def run_time(bus: MessageBus) -> Quantile:
    """The time that 95 % of the tasks of the window took at most."""
    return Quantile(bus.series.task_duration, 0.95, bus.pace.window)


@dataclass(frozen=True, slots=True)
class TaskQueue:
    """The task queue: tasks waiting, tasks running, tasks completed per second, waiting tasks gained per second."""

    pending: float
    running: float
    completed_per_second: float
    growth_per_second: float

    def __str__(self) -> str:
        return (
            f"{self.pending:.0f} waiting, {self.running:.0f} running, {self.completed_per_second:.1f}/s completed, "
            f"{'growing' if self.growth_per_second > 0 else 'falling'} by {abs(self.growth_per_second):.1f}/s"
        )


def task_queue(bus: MessageBus) -> Probe[TaskQueue]:
    """Source: "High Task Queue Depth", diagnosis 1. The queue's numbers are the same in every pod, its workers' not."""

    def read() -> Reading[TaskQueue]:
        metrics = bus.metrics()
        asked = [metrics.ask(question) for question in queue_questions(bus)]
        pending, running, completed, growth = (one.value for one in asked)
        queue = TaskQueue(pending, running, completed, growth)
        return Reading(queue, asked[0].source, reach=bus.pace.window, lag=max(one.lag for one in asked))

    return Probe("task queue", read, timedelta(seconds=40))


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of all pods: how many are busy, how many there are, the smallest pool among the pods."""

    active: float
    workers: float
    smallest_pool: float

    @property
    def utilisation(self) -> float:
        """Busy workers as a share of all workers.

        Raises:
            UnknownReading: there are no workers.
        """
        if not self.workers:
            raise UnknownReading("there are no workers")
        return self.active / self.workers

    def __str__(self) -> str:
        busy = f"{self.utilisation:.0%}" if self.workers else "none"
        return f"{self.active:.0f} of {self.workers:.0f} workers busy ({busy}), smallest pool {self.smallest_pool:.0f}"


def worker_pool(bus: MessageBus) -> Probe[WorkerPool]:
    """Source: "High Task Queue Depth", diagnosis 2."""

    def read() -> Reading[WorkerPool]:
        metrics = bus.metrics()
        active, workers, smallest = (metrics.ask(question) for question in pool_questions(bus))
        pool = WorkerPool(active.value, workers.value, smallest.value)
        return Reading(pool, active.source, reach=active.reach, lag=active.lag)

    return Probe("worker pool", read)


@dataclass(frozen=True, slots=True)
class TaskDurations:
    """How long tasks take: the 95th percentile in seconds."""

    p95_seconds: float

    def __str__(self) -> str:
        return f"95 % of tasks take less than {self.p95_seconds:.2f} s"


def task_durations(bus: MessageBus) -> Probe[TaskDurations]:
    """Source: "High Task Queue Depth", diagnosis 3, from the histogram of the window and not since process start."""

    def read() -> Reading[TaskDurations]:
        p95 = bus.metrics().ask(run_time(bus))
        return Reading(TaskDurations(p95.value), p95.source, p95.reach, p95.lag)

    return Probe("task durations", read, timedelta(seconds=30))
