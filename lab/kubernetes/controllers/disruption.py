"""The disruption controller: how many pods of a budget are healthy, and how many may be evicted now."""

from __future__ import annotations

import math

from lab.kubernetes import timestamps
from lab.kubernetes.client import DISRUPTION_BUDGETS, ApiClient
from lab.kubernetes.controllers.reconciling import WorkQueue
from lab.kubernetes.informer import Informer, NamespacedName
from lab.kubernetes.objects import Object, controller_of, is_pod_active, is_pod_ready, name_of, namespace_of
from lab.kubernetes.selectors import LabelSelector

_DELETION_TIMEOUT = 120.0


class DisruptionController:
    def __init__(self, client: ApiClient, pods: Informer, replica_sets: Informer) -> None:
        self._client = client
        self._pods = pods
        self._replica_sets = replica_sets
        self.queue = WorkQueue("disruption", self._reconcile)
        self.budgets = Informer(
            client, DISRUPTION_BUDGETS, lambda document: self.queue.add(NamespacedName.of(document))
        )

    def pod_changed(self, pod: Object) -> None:
        for budget in self.budgets.all(namespace_of(pod)):
            self.queue.add(NamespacedName.of(budget))

    async def _reconcile(self, key: NamespacedName) -> None:
        budget = self.budgets.get(key)
        if budget is None:
            return
        selector = LabelSelector.of(budget["spec"].get("selector") or {})
        pods = [pod for pod in self._pods.all(key.namespace) if selector.matches(pod) and is_pod_active(pod)]
        expected = self._expected(pods)
        desired = _desired_healthy(budget["spec"], expected)
        disrupted = self._still_disrupted(budget, pods)
        healthy = sum(1 for pod in pods if is_pod_ready(pod) and name_of(pod) not in disrupted)
        allowed = max(0, healthy - desired) if expected else 0
        status = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": budget["metadata"]["generation"],
            "conditions": [_condition(budget, allowed)],
            **({"disruptedPods": disrupted} if disrupted else {}),
        }
        if status != budget.get("status"):
            path = DISRUPTION_BUDGETS.path_of(budget, "status")
            self.budgets.observe(await self._client.replace(path, {**budget, "status": status}))

    def _still_disrupted(self, budget: Object, pods: list[Object]) -> dict[str, str]:
        """Pods that were evicted and whose deletion is not yet seen here, with the time of their eviction."""
        active = {name_of(pod) for pod in pods}
        evicted: dict[str, str] = budget.get("status", {}).get("disruptedPods") or {}
        return {name: at for name, at in evicted.items() if name in active and timestamps.age(at) < _DELETION_TIMEOUT}

    def _expected(self, pods: list[Object]) -> int:
        """What the pods' controllers want: a pod that was deleted a moment ago is still expected."""
        total, seen = 0, set()
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                total += 1
            elif owner["uid"] not in seen:
                seen.add(owner["uid"])
                replica_set = self._replica_sets.get(NamespacedName(namespace_of(pod), owner["name"]))
                total += replica_set["spec"]["replicas"] if replica_set else 0
        return total


def _desired_healthy(spec: Object, expected: int) -> int:
    if "maxUnavailable" in spec:
        return max(0, expected - _count(spec["maxUnavailable"], expected))
    return _count(spec.get("minAvailable", 1), expected)


def _count(value: int | str, total: int) -> int:
    text = str(value)
    return math.ceil(total * float(text[:-1]) / 100) if text.endswith("%") else int(text)


def _condition(budget: Object, allowed: int) -> Object:
    status, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    conditions = budget.get("status", {}).get("conditions") or [{}]
    old = conditions[0]
    since = old["lastTransitionTime"] if old.get("status") == status else timestamps.seconds()
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": since,
        "observedGeneration": budget["metadata"]["generation"],
    }
