"""Pods: how many there are and who decides that, how big their pools are, what is left of their limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Probe, Reading
from tasks.model.target import Target
from tasks.systems.kubernetes.config import read_setting
from tasks.systems.kubernetes.pods import list_pods, pod_usage
from tasks.systems.kubernetes.scaling import Autoscaler, read_autoscaler
from tasks.systems.kubernetes.workloads import read_deployment


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many pods a Deployment has and wants, and who decides that."""

    wanted: int
    ready: int
    settled: bool
    autoscaler: Autoscaler | None

    def __str__(self) -> str:
        scaler = self.autoscaler
        by = f"autoscaler {scaler.minimum} to {scaler.maximum}, wants {scaler.desired}" if scaler else "no autoscaler"
        return f"{self.ready} of {self.wanted} ready, {by}" + ("" if self.settled else ", rollout in progress")


def replicas(bus: MessageBus, deployment: str) -> Probe[Replicas]:
    """Who decides the number of pods, and whether they are there."""

    def read() -> Reading[Replicas]:
        cluster = bus.cluster()
        found = read_deployment(cluster, deployment)
        scaler = read_autoscaler(cluster, deployment)
        return Reading(
            Replicas(found.replicas, found.ready, found.rolled_out, scaler),
            f"deployment {bus.namespace}/{deployment}",
        )

    return Probe(f"replicas of {deployment}", read)


@dataclass(frozen=True, slots=True)
class PoolSize:
    """The pool size that a new pod would get, and where that is written. `read_at` is our clock."""

    configured: int
    holder: Target
    read_at: datetime

    def __str__(self) -> str:
        return f"{self.configured} workers per new pod, from {self.holder}"


def pool_size(bus: MessageBus) -> Probe[PoolSize]:
    """The effective value: an env entry of the Deployment wins over the ConfigMap."""

    def read() -> Reading[PoolSize]:
        setting = read_setting(bus.cluster(), bus.orchestration, bus.pool_size_key, bus.pool_size_default)
        return Reading(PoolSize(setting.value, setting.holder, datetime.now(UTC)), str(setting.holder))

    return Probe("configured pool size", read)


@dataclass(frozen=True, slots=True)
class Load:
    """What the busiest pod uses of its limits, as ratios."""

    cpu: float
    memory: float

    def grown(self, factor: float) -> Load:
        """What it would be with so many times the workers."""
        return Load(self.cpu * factor, self.memory * factor)

    @property
    def highest(self) -> float:
        return max(self.cpu, self.memory)

    def __str__(self) -> str:
        return f"busiest pod at {self.cpu:.0%} of its CPU limit and {self.memory:.0%} of its memory limit"


class NoLimits(Exception):
    """The pods have no limits, so what is left of them cannot be told."""


def load(bus: MessageBus) -> Probe[Load]:
    """Whether CPU and memory are available. `kubectl top` shows use, not room: use is held against the limits."""

    def read() -> Reading[Load]:
        cluster = bus.cluster()
        limits = {pod.name: pod.limits for pod in list_pods(cluster, bus.orchestration_labels) if pod.ready}
        usage = [used for used in pod_usage(cluster, bus.orchestration_labels) if used.pod in limits]
        if not usage:
            raise NoLimits("the metrics API knows none of the ready pods")
        if any(not {"cpu", "memory"} <= set(limits[used.pod]) for used in usage):
            raise NoLimits("the orchestration pods have no CPU or memory limit")
        return Reading(
            Load(
                max(used.cpu / limits[used.pod]["cpu"] for used in usage),
                max(used.memory / limits[used.pod]["memory"] for used in usage),
            ),
            "metrics.k8s.io",
        )

    return Probe("load", read)
