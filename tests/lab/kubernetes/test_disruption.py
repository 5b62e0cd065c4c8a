"""Disruption budgets and evictions. On the lab's cluster only: Kubernetes 1.20 has no policy/v1."""

from __future__ import annotations

import pytest

from tests.lab.kubernetes.clusters import Cluster, eventually
from tests.lab.kubernetes.manifests import await_pods, create, deployment

pytestmark = pytest.mark.may_skip


@pytest.fixture
def budget(cluster: Cluster, namespace: str) -> str:
    """The path of a budget that wants one of two pods to stay."""
    if cluster.is_real:
        pytest.skip("policy/v1 came with Kubernetes 1.21")
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    document = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": spec}
    assert cluster.request("POST", path, document).is_success
    return f"{path}/web"


def test_an_eviction_beyond_the_budget_is_refused(cluster: Cluster, namespace: str, budget: str) -> None:
    create(cluster, namespace, deployment("web", 2))
    pods = [pod["metadata"]["name"] for pod in await_pods(cluster, namespace, "app=web", 2)]

    def allowed() -> int:
        return int(cluster.request("GET", budget).json()["status"]["disruptionsAllowed"])

    eventually(lambda: allowed() == 1)

    def evict(pod: str) -> int:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        return cluster.request("POST", path, body, user="operator").status_code

    assert [evict(pod) for pod in pods] == [201, 429]
    await_pods(cluster, namespace, "app=web", 2)
    eventually(lambda: allowed() == 1)
    shown = cluster.kubectl("-n", namespace, "get", "pdb").stdout.split()
    assert shown[-5:-1] == ["web", "1", "N/A", "1"]
