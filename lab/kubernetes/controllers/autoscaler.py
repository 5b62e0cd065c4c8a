"""The horizontal pod autoscaler: looks at every autoscaler each sync period, by the resource metrics API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from lab.kubernetes import quantities, timestamps
from lab.kubernetes.client import (
    AUTOSCALERS,
    DEPLOYMENTS,
    POD_METRICS,
    REPLICA_SETS,
    ApiClient,
    ApiStatusError,
    ApiUnreachableError,
)
from lab.kubernetes.controllers.autoscaling_rules import (
    CpuSample,
    MetricsUnavailableError,
    Utilization,
    limited,
    recommended,
    utilization,
)
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.objects import Object, condition, is_pod_active, name_of, namespace_of, uid_of
from lab.kubernetes.selectors import LabelSelector

_TARGETS = {"Deployment": DEPLOYMENTS, "ReplicaSet": REPLICA_SETS}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Seconds between looks, and for how long the highest recommendation holds before scaling down."""

    sync_period: float = 15.0
    downscale_stabilization: float = 300.0


class _Findings:
    """The conditions and measurements of one look, as they will stand in the status."""

    def __init__(self) -> None:
        self.conditions: list[Object] = []
        self.measured: Utilization | None = None

    def add(self, kind: str, status: bool, reason: str, message: str) -> None:
        self.conditions.append({"type": kind, "status": str(status), "reason": reason, "message": message})


class Autoscaler:
    def __init__(self, client: ApiClient, events: EventRecorder, pods: Informer, settings: Settings) -> None:
        self._client = client
        self._events = events
        self._pods = pods
        self._settings = settings
        self._recommendations: dict[str, deque[tuple[float, int]]] = {}
        self.autoscalers = Informer(client, AUTOSCALERS)

    async def run(self) -> None:
        """Looks at all autoscalers, one sync period after another, for ever."""
        while True:
            await asyncio.sleep(self._settings.sync_period)
            for autoscaler in self.autoscalers.all():
                try:
                    await self._look(autoscaler)
                except (ApiStatusError, ApiUnreachableError) as error:
                    _log.info("autoscaler %s: %s", NamespacedName.of(autoscaler), error)

    async def _look(self, autoscaler: Object) -> None:
        found = _Findings()
        reference = autoscaler["spec"]["scaleTargetRef"]
        try:
            scale = await self._scale_of(autoscaler)
        except ApiStatusError as error:
            found.add(
                "AbleToScale",
                False,
                "FailedGetScale",
                f"the HPA controller was unable to get the target's current scale: {error}",
            )
            self._events.warning(autoscaler, "FailedGetScale", str(error))
            await self._report(autoscaler, None, None, False, found)
            return
        current = int(scale["spec"].get("replicas", 0))
        if current == 0:
            found.add(
                "AbleToScale",
                True,
                "SucceededGetScale",
                "the HPA controller was able to get the target's current scale",
            )
            found.add(
                "ScalingActive",
                False,
                "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero",
            )
            await self._report(autoscaler, scale, 0, False, found)
            return
        desired, why = await self._desired(autoscaler, scale, current, found)
        if desired != current:
            await self._rescale(autoscaler, scale, desired)
            message = f"the HPA controller was able to update the target scale to {desired}"
            found.add("AbleToScale", True, "SucceededRescale", message)
            self._events.normal(autoscaler, "SuccessfulRescale", f"New size: {desired}; reason: {why}")
            _log.info("%s %s: %d -> %d: %s", reference["kind"], reference["name"], current, desired, why)
        await self._report(autoscaler, scale, desired, desired != current, found)

    async def _desired(self, autoscaler: Object, scale: Object, current: int, found: _Findings) -> tuple[int, str]:
        low, high = autoscaler["spec"].get("minReplicas", 1), autoscaler["spec"]["maxReplicas"]
        if current > high:
            return high, "Current number of replicas above Spec.MaxReplicas"
        if current < low:
            return low, "Current number of replicas below Spec.MinReplicas"
        try:
            wanted = await self._by_metrics(autoscaler, scale, current, found)
        except MetricsUnavailableError as error:
            message = f"the HPA was unable to compute the replica count: {error}"
            found.add("ScalingActive", False, "FailedGetResourceMetric", message)
            self._events.warning(autoscaler, "FailedGetResourceMetric", str(error))
            return current, ""
        stabilized = self._stabilized(autoscaler, wanted)
        if stabilized > wanted:
            message = "recent recommendations were higher than current one, applying the highest recent recommendation"
            found.add("AbleToScale", True, "ScaleDownStabilized", message)
        elif stabilized == current:
            found.add("AbleToScale", True, "ReadyForNewScale", "recommended size matches current size")
        verdict = limited(current, stabilized, low, high)
        found.add("ScalingLimited", verdict.limited, verdict.reason, verdict.message)
        direction = "above" if verdict.replicas > current else "below"
        return (
            verdict.replicas,
            "All metrics below target"
            if direction == "below"
            else f"cpu resource utilization (percentage of request) {direction} target",
        )

    async def _by_metrics(self, autoscaler: Object, scale: Object, current: int, found: _Findings) -> int:
        target = _cpu_target(autoscaler)
        selector = LabelSelector.parse(scale["status"].get("selector", ""))
        pods = [pod for pod in self._pods.all(namespace_of(autoscaler)) if selector.matches(pod) and is_pod_active(pod)]
        found.measured = utilization(pods, await self._samples(namespace_of(autoscaler), str(selector)))
        metric = "cpu resource utilization (percentage of request)"
        message = f"the HPA was able to successfully calculate a replica count from {metric}"
        found.add("ScalingActive", True, "ValidMetricFound", message)
        return recommended(current, target, found.measured)

    async def _samples(self, namespace: str, selector: str) -> dict[str, CpuSample]:
        """The last one of each pod. Raises MetricsUnavailableError."""
        try:
            answer = await self._client.get(POD_METRICS.path(namespace), labelSelector=selector)
        except (ApiStatusError, ApiUnreachableError) as error:
            raise MetricsUnavailableError(f"unable to fetch metrics from resource metrics API: {error}") from error
        return {name_of(item): _sample(item) for item in answer["items"]}

    def _stabilized(self, autoscaler: Object, wanted: int) -> int:
        """The highest recommendation of the stabilization window: up at once, down only after all agree."""
        history = self._recommendations.setdefault(uid_of(autoscaler), deque())
        present = time.monotonic()
        history.append((present, wanted))
        while history[0][0] < present - self._settings.downscale_stabilization:
            history.popleft()
        return max(replicas for _, replicas in history)

    async def _scale_of(self, autoscaler: Object) -> Object:
        return await self._client.get(_scale_path(autoscaler))

    async def _rescale(self, autoscaler: Object, scale: Object, replicas: int) -> None:
        await self._client.replace(_scale_path(autoscaler), {**scale, "spec": {"replicas": replicas}})

    async def _report(
        self, autoscaler: Object, scale: Object | None, desired: int | None, rescaled: bool, found: _Findings
    ) -> None:
        old = autoscaler.get("status", {})
        current = scale["status"].get("replicas", 0) if scale else old.get("currentReplicas", 0)
        status: Object = {
            "currentReplicas": current,
            "desiredReplicas": old.get("desiredReplicas", 0) if desired is None else desired,
            "conditions": _conditions(autoscaler, found.conditions),
        }
        if rescaled:
            status["lastScaleTime"] = timestamps.seconds()
        elif "lastScaleTime" in old:
            status["lastScaleTime"] = old["lastScaleTime"]
        if found.measured is not None:
            values = {
                "averageUtilization": found.measured.percent,
                "averageValue": quantities.canonical(f"{found.measured.average // 1_000_000}m"),
            }
            status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": values}}]
        if status != old:
            # Without resourceVersion: the status is this controller's alone, and the spec may change meanwhile.
            path = AUTOSCALERS.path_of(autoscaler, "status")
            self.autoscalers.observe(await self._client.patch(path, {"status": status}))


def _sample(item: Object) -> CpuSample:
    nanocores = sum(int(quantities.parse(each["usage"]["cpu"]) * 1_000_000_000) for each in item["containers"])
    window = timedelta(seconds=float(item["window"].removesuffix("s")))
    return CpuSample(nanocores, timestamps.parse(item["timestamp"]) - window)


def _scale_path(autoscaler: Object) -> str:
    reference = autoscaler["spec"]["scaleTargetRef"]
    collection = _TARGETS.get(reference["kind"])
    if collection is None:
        raise ApiStatusError(404, "NotFound", f"no matches for kind {reference['kind']!r}")
    return collection.path(namespace_of(autoscaler), reference["name"], "scale")


def _cpu_target(autoscaler: Object) -> int:
    for metric in autoscaler["spec"].get("metrics", ()):
        resource = metric.get("resource") or {}
        if resource.get("name") == "cpu" and "averageUtilization" in resource.get("target", {}):
            return int(resource["target"]["averageUtilization"])
    raise MetricsUnavailableError("only the CPU utilization metric is supported by this controller")


def _conditions(autoscaler: Object, new: list[Object]) -> list[Object]:
    """The new conditions over the ones that stand; the transition time changes with the status only."""
    merged = {each["type"]: each for each in autoscaler.get("status", {}).get("conditions") or ()}
    for each in new:
        old = condition(autoscaler, each["type"])
        same = old is not None and old["status"] == each["status"]
        since = old["lastTransitionTime"] if same and old else timestamps.seconds()
        merged[each["type"]] = {**each, "lastTransitionTime": since}
    return [merged[kind] for kind in ("AbleToScale", "ScalingActive", "ScalingLimited") if kind in merged]
