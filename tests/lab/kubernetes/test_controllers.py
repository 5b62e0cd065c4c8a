"""The controllers' arithmetic: rolling updates and autoscaling, without a cluster."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import autoscaling
from lab.kubernetes.controllers.autoscaling_rules import (
    CpuSample,
    MetricsUnavailableError,
    Utilization,
    limited,
    recommended,
    utilization,
)
from lab.kubernetes.controllers.rollout import Generation, Limits, new_size, old_sizes


def deployment(replicas: int, surge: int | str, unavailable: int | str) -> dict[str, Any]:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (2, "25%", "25%", (1, 0)),
        (10, 3, 0, (3, 0)),
        (3, 0, "10%", (0, 1)),
        (1, 0, 5, (0, 1)),
    ],
)
def test_limits_of_a_rollout(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    limits = Limits.of(deployment(replicas, surge, unavailable))
    assert (limits.max_surge, limits.max_unavailable) == expected


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 4), st.integers(0, 4), st.integers(0, 12), st.data())
def test_a_rollout_arrives_and_never_leaves_its_limits(
    wanted: int, surge: int, unavailable: int, start: int, data: st.DataObject
) -> None:
    """Pods become available in any order; a step never goes above the surge nor below the minimum that was there."""
    limits = Limits.of(deployment(wanted, surge, unavailable))
    new, old = Generation(0, 0), Generation(start, start)
    for _ in range(200):
        new = Generation(new_size(wanted, limits, new, [old]), new.available)
        assert new.wanted + old.wanted <= max(wanted + limits.max_surge, start)
        available = new.available + old.available
        size = old_sizes(wanted, limits, new, [old])[0]
        old = Generation(size, min(size, old.available))
        assert new.available + old.available >= min(available, wanted - limits.max_unavailable)
        if (new.wanted, new.available, old.wanted) == (wanted, wanted, 0):
            return
        if new.available < new.wanted:
            new = Generation(new.wanted, new.available + data.draw(st.integers(1, new.wanted - new.available)))
    raise AssertionError(f"did not arrive: {new}, {old}")


def test_pods_that_never_worked_go_first() -> None:
    limits = Limits(max_surge=1, max_unavailable=0)
    assert old_sizes(3, limits, Generation(1, 0), [Generation(1, 0), Generation(3, 3)]) == [0, 3]


START = datetime(2024, 1, 15, 3, tzinfo=UTC)


def pod(name: str, request: str | None = "100m", ready: bool = True, ready_after: float = 1) -> dict[str, Any]:
    """A pod that started at START, and became ready so many seconds later."""
    resources = {"requests": {"cpu": request}} if request else {}
    since = timestamps.seconds(START + timedelta(seconds=ready_after))
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"startTime": timestamps.seconds(START), "conditions": [condition]},
    }


def sample(nanocores: int, after: float = 2) -> CpuSample:
    """A sample over a window that began so many seconds after START."""
    return CpuSample(nanocores, START + timedelta(seconds=after))


def test_utilization_is_of_the_requests_of_ready_pods() -> None:
    samples = {"a": sample(50_000_000), "b": sample(150_000_000), "c": sample(10**9)}
    pods = [pod("a"), pod("b"), pod("c", ready=False), pod("d")]
    assert utilization(pods, samples) == Utilization(100, 100_000_000, ready=2, unready=1, missing=1)
    with pytest.raises(MetricsUnavailableError, match="no metrics"):
        utilization([pod("a")], {})
    with pytest.raises(MetricsUnavailableError, match="missing request for cpu in container c of Pod a"):
        utilization([pod("a", None)], {"a": sample(1)})


def test_what_a_young_pod_used_before_it_was_ready_does_not_count() -> None:
    calm, starting = pod("a"), pod("b", ready_after=3)
    assert utilization([calm, starting], {"a": sample(1), "b": sample(10**9)}).ready == 1
    assert utilization([calm, starting], {"a": sample(1), "b": sample(10**9, after=4)}).ready == 2
    not_young_any_more = {"a": sample(1, after=301), "b": sample(1, after=301)}
    assert utilization([calm, pod("b", ready_after=302)], not_young_any_more).ready == 2


@pytest.mark.parametrize(
    ("current", "percent", "ready", "unready", "missing", "expected"),
    [
        (2, 70, 2, 0, 0, 2),
        (2, 76, 2, 0, 0, 2),
        (2, 140, 2, 0, 0, 4),
        (4, 35, 4, 0, 0, 2),
        (2, 105, 2, 0, 0, 3),
        (3, 140, 2, 0, 1, 4),
        (3, 140, 2, 1, 0, 4),
        (3, 80, 2, 0, 1, 3),
        (4, 35, 2, 2, 0, 1),
        (4, 35, 2, 0, 2, 3),
        (5, 2, 1, 6, 0, 1),
        (5, 2, 1, 0, 6, 5),  # In a rollout there are more pods than replicas: that is no reason to grow.
    ],
)
def test_recommendations(current: int, percent: int, ready: int, unready: int, missing: int, expected: int) -> None:
    assert recommended(current, 70, Utilization(percent, 0, ready, unready, missing)) == expected


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        (3, 3, (3, "DesiredWithinRange")),
        (3, 99, (6, "ScaleUpLimit")),
        (6, 99, (10, "TooManyReplicas")),
        (3, 1, (2, "TooFewReplicas")),
        (1, 4, (4, "DesiredWithinRange")),
    ],
)
def test_limits_of_the_autoscaler(current: int, wanted: int, expected: tuple[int, str]) -> None:
    verdict = limited(current, wanted, 2, 10)
    assert (verdict.replicas, verdict.reason) == expected
    assert verdict.limited is (verdict.reason != "DesiredWithinRange")


def test_an_autoscaler_in_both_versions() -> None:
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}},
    }
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    stored = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "annotations": {"mine": "x"}},
        "spec": {
            "maxReplicas": 5,
            "metrics": [cpu, memory],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}},
        },
        "status": {
            "currentReplicas": 2,
            "desiredReplicas": 2,
            "conditions": [{"type": "AbleToScale", "status": "True"}],
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 43}}}
            ],
        },
    }
    before = json.dumps(stored)
    shown = autoscaling.to_v1(stored)
    assert json.dumps(stored) == before
    assert shown["spec"] == {"maxReplicas": 5, "targetCPUUtilizationPercentage": 70}
    assert shown["status"] == {"currentReplicas": 2, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 43}
    assert autoscaling.from_v1(shown) == stored
