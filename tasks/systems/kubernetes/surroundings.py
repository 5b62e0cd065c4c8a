"""What else is the case around a workload: its pods, rollouts and disruption budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.client.exceptions import ApiException

from tasks.model.change import Surroundings
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.kubernetes.workloads import Deployment

READ_BUDGETS = (Permission("policy/v1", "poddisruptionbudgets", "list"),)


def around(cluster: Cluster, deployment: Deployment, owned_by: str, *, rolls_out: bool) -> Surroundings:
    """The surroundings of a change to a Deployment; `rolls_out` says that it replaces the pods."""
    return Surroundings(
        healthy=deployment.ready,
        wanted=deployment.replicas,
        takes_away=_taken_away(deployment) if rolls_out else 0,
        rollout=under_way(deployment),
        budget=disruptions_allowed(cluster, deployment.pod_labels) if rolls_out else None,
        owner=owned_by,
    )


def _taken_away(deployment: Deployment) -> int:
    """Healthy pods that a rollout takes away before their successors are there."""
    if deployment.recreate:
        return deployment.ready
    return max(0, deployment.max_unavailable - (deployment.replicas - deployment.ready))


def under_way(deployment: Deployment) -> str:
    """What shows that a rollout is under way, paused or stuck; empty when none is."""
    if deployment.paused:
        return f"the rollout of {deployment.name} is paused"
    if deployment.stalled:
        return f"the rollout of {deployment.name} is stuck: {deployment.stalled}"
    if not deployment.rolled_out:
        return f"{deployment.name} is in the middle of a rollout: {deployment.progress}"
    return ""


def disruptions_allowed(cluster: Cluster, labels: Mapping[str, str]) -> int | None:
    """How many pods with these labels may be disrupted now by their budgets; None where no budget covers them.

    Raises:
        ApiException: the budgets may not be read. (404: the cluster serves no policy/v1, and so has no such budgets.)
    """
    try:
        found: Any = cluster.policy.list_namespaced_pod_disruption_budget(
            cluster.namespace, _request_timeout=cluster.timeout
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    allowed = [
        (budget.status.disruptions_allowed or 0) if budget.status else 0
        for budget in found.items
        if _selects(budget.spec.selector, labels)
    ]
    return min(allowed, default=None)


def _selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches. An empty one matches everything, none at all nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.match_expressions or ())


def _holds(rule: Any, labels: Mapping[str, str]) -> bool:
    match rule.operator:
        case "In":
            return labels.get(rule.key) in (rule.values or ())
        case "NotIn":
            return labels.get(rule.key) not in (rule.values or ())
        case "Exists":
            return rule.key in labels
        case "DoesNotExist":
            return rule.key not in labels
        case other:
            raise ValueError(f"a disruption budget uses the operator {other}, which is not known here")
