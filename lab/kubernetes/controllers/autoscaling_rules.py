"""The autoscaler's arithmetic: from metrics and limits to a number of replicas. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.kubernetes import quantities, timestamps
from lab.kubernetes.objects import Object, condition, name_of

TOLERANCE = 0.1
CPU_INITIALIZATION_PERIOD = timedelta(minutes=5)


class MetricsUnavailableError(Exception):
    """The utilisation cannot be told; the message says why."""


@dataclass(frozen=True)
class CpuSample:
    """The CPU use of a pod, in nanocores, over a window that began at `since`."""

    nanocores: int
    since: datetime


@dataclass(frozen=True)
class Utilization:
    """CPU use in percent of the requests, over the pods that count; `average` is in nanocores per pod."""

    percent: int
    average: int
    ready: int
    """How many count."""
    unready: int = 0
    """How many are not ready, or were not while they were measured."""
    missing: int = 0
    """How many run and were not measured."""


@dataclass(frozen=True)
class Verdict:
    """A recommendation within limits: the condition ScalingLimited is `limited` for `reason`."""

    replicas: int
    limited: bool
    reason: str
    message: str


def utilization(pods: list[Object], samples: Mapping[str, CpuSample]) -> Utilization:
    """CPU utilisation of the ready pods; the samples are by pod name. Raises MetricsUnavailableError."""
    unready = [pod for pod in pods if _is_unready(pod, samples.get(name_of(pod)))]
    measured = [pod for pod in pods if name_of(pod) in samples and pod not in unready]
    if not measured:
        raise MetricsUnavailableError("no metrics returned from resource metrics API")
    requested = sum(_cpu_request(pod) for pod in measured)
    used = sum(samples[name_of(pod)].nanocores for pod in measured)
    missing = len(pods) - len(measured) - len(unready)
    return Utilization(round(100 * used / requested), used // len(measured), len(measured), len(unready), missing)


def recommended(current: int, target_percent: int, measured: Utilization) -> int:
    """Replicas for the target; within the tolerance no change. Pods that do not count dampen the step, never turn it.

    As the real one: whom nobody measured is taken to use nothing when growing, and all of the target when shrinking;
    who is not ready uses nothing when growing, and is no argument against shrinking.
    """
    ratio = measured.percent / target_percent
    grows = ratio > 1
    silent = measured.missing + (measured.unready if grows else 0)
    total = measured.ready + silent
    assumed = 0 if grows else target_percent
    damped = (measured.percent * measured.ready + assumed * silent) / total / target_percent
    if abs(damped - 1.0) <= TOLERANCE or (damped > 1) != grows:
        return current
    wanted = math.ceil(damped * total)
    return wanted if not silent or (wanted > current) == grows else current


def limited(current: int, wanted: int, low: int, high: int) -> Verdict:
    """The recommendation between minReplicas and maxReplicas, growing at most to the double (or to 4) in one step."""
    step = max(2 * current, 4)
    if wanted > min(step, high):
        if high <= step:
            return Verdict(
                high, True, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
            )
        return Verdict(
            step, True, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
        )
    if wanted < low:
        return Verdict(low, True, "TooFewReplicas", "the desired replica count is less than the minimum replica count")
    return Verdict(wanted, False, "DesiredWithinRange", "the desired count is within the acceptable range")


def _is_unready(pod: Object, sample: CpuSample | None) -> bool:
    """Whether a pod is not ready; what a young one used before it was ready says nothing of its load, either."""
    status = pod["status"]
    if status.get("phase") == "Pending":
        return True
    if sample is None:
        return False
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return True
    is_young = sample.since - timestamps.parse(status["startTime"]) < CPU_INITIALIZATION_PERIOD
    return is_young and timestamps.parse(ready["lastTransitionTime"]) >= sample.since


def _cpu_request(pod: Object) -> int:
    """Nanocores. Raises MetricsUnavailableError for a container without a request: a percentage of nothing."""
    total = 0
    for container in pod["spec"]["containers"]:
        request = (container.get("resources", {}).get("requests") or {}).get("cpu")
        if request is None:
            raise MetricsUnavailableError(
                f"missing request for cpu in container {container['name']} of Pod {name_of(pod)}"
            )
        total += int(quantities.parse(request) * 1_000_000_000)
    return total
