"""The metrics: `orchestration_task_queue_*` come from Redis and are the same in every pod, the rest is its own."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lab.message_bus.orchestration.store import Depth
from lab.message_bus.orchestration.tasks import BY_NAME

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """Every series of a pod, from its start: a counter that was never raised reads 0 and is not missing."""

    def __init__(self, worker_pool_size: int) -> None:
        """Register the series."""
        self.registry = CollectorRegistry()
        self._pending = Gauge("orchestration_task_queue_pending", "Tasks waiting, all pods", registry=self.registry)
        self._running = Gauge("orchestration_task_queue_running", "Tasks running, all pods", registry=self.registry)
        self._completed = Gauge(
            "orchestration_task_queue_completed", "Tasks completed, all pods", registry=self.registry
        )
        self.workers_active = Gauge("orchestration_worker_pool_active", "Busy workers", registry=self.registry)
        workers = Gauge("orchestration_worker_pool_max", "Workers", registry=self.registry)
        workers.set(worker_pool_size)
        task = ["task_name"]
        self.completed = Counter("orchestration_tasks_completed", "Tasks completed", task, registry=self.registry)
        self.failed = Counter("orchestration_tasks_failed", "Attempts that failed", task, registry=self.registry)
        self.rejected = Counter("orchestration_tasks_rejected", "Tasks refused by a full queue", registry=self.registry)
        self.duration = Histogram(
            "orchestration_task_duration_seconds",
            "Task run time",
            task,
            registry=self.registry,
            buckets=DURATION_BUCKETS,
        )
        self.event_to_task = Histogram(
            "orchestration_event_to_task_duration_seconds",
            "From an event to its task in the queue",
            registry=self.registry,
            buckets=LATENCY_BUCKETS,
        )
        for name in BY_NAME:
            self.completed.labels(name)
            self.failed.labels(name)
            self.duration.labels(name)

    def render(self, depth: Depth | None) -> bytes:
        """The page for Prometheus; without Redis the queue's depth is NaN, not 0."""
        self._pending.set(depth.pending if depth else math.nan)
        self._running.set(depth.running if depth else math.nan)
        self._completed.set(depth.completed if depth else math.nan)
        return generate_latest(self.registry)
