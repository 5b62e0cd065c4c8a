"""HorizontalPodAutoscaler in its two versions: autoscaling/v2 is stored, autoscaling/v1 is converted.

As in the real API server, what v1 cannot express travels in annotations, so that nothing is lost on the way back.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from lab.kubernetes.objects import Object

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def to_v1(stored: Object) -> Object:
    """An autoscaling/v2 object as autoscaling/v1."""
    document = copy.deepcopy(stored)
    document["apiVersion"] = "autoscaling/v1"
    spec, status = document["spec"], document.get("status", {})
    annotations = document["metadata"].get("annotations", {})
    other_metrics = [metric for metric in spec.pop("metrics", ()) if not _is_cpu_utilization(metric)]
    target = _cpu_target(stored["spec"].get("metrics", ()))
    if target is not None:
        spec["targetCPUUtilizationPercentage"] = target
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        utilization = metric.get("resource", {}).get("current", {}).get("averageUtilization")
        if metric.get("resource", {}).get("name") == "cpu" and utilization is not None:
            status["currentCPUUtilizationPercentage"] = utilization
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    carried = {
        _METRICS: other_metrics,
        _CURRENT_METRICS: current,
        _CONDITIONS: status.pop("conditions", None),
        _BEHAVIOR: spec.pop("behavior", None),
    }
    annotations.update({name: json.dumps(value, separators=(",", ":")) for name, value in carried.items() if value})
    if annotations:
        document["metadata"]["annotations"] = annotations
    document["status"] = status
    return document


def from_v1(document: Object) -> Object:
    """An autoscaling/v1 object as autoscaling/v2."""
    document = copy.deepcopy(document)
    document["apiVersion"] = "autoscaling/v2"
    spec, status = document.setdefault("spec", {}), document.setdefault("status", {})
    annotations = document["metadata"].get("annotations", {})
    metrics: list[Any] = []
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        metrics.append(_cpu_metric("target", {"type": "Utilization", "averageUtilization": target}))
    metrics += _carried(annotations, _METRICS) or []
    if metrics:
        spec["metrics"] = metrics
    behavior = _carried(annotations, _BEHAVIOR)
    if behavior:
        spec["behavior"] = behavior
    current = _carried(annotations, _CURRENT_METRICS)
    utilization = status.pop("currentCPUUtilizationPercentage", None)
    if current is None and utilization is not None:
        current = [_cpu_metric("current", {"averageUtilization": utilization})]
    if current:
        status["currentMetrics"] = current
    conditions = _carried(annotations, _CONDITIONS)
    if conditions:
        status["conditions"] = conditions
    if "annotations" in document["metadata"] and not annotations:
        del document["metadata"]["annotations"]
    return document


def _carried(annotations: dict[str, str], name: str) -> Any:
    text = annotations.pop(name, None)
    return json.loads(text) if text else None


def _cpu_metric(field: str, value: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", field: value}}


def _is_cpu_utilization(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    return resource.get("name") == "cpu" and resource.get("target", {}).get("type") == "Utilization"


def _cpu_target(metrics: Any) -> int | None:
    return next(
        (each["resource"]["target"]["averageUtilization"] for each in metrics if _is_cpu_utilization(each)), None
    )
