"""A person, or an automation, who changes the platform through the cluster's API: the lab must not be able to tell."""

from __future__ import annotations

from datetime import UTC, datetime

from kubernetes import client, config

from lab.model import Endpoints
from tests.lab.observer import ask_any_pod

POOL_SIZE = "ORCHESTRATION_WORKER_POOL_SIZE"


class Person:
    """Somebody with the operator's account."""

    def __init__(self, endpoints: Endpoints, context: str = "operator") -> None:
        """Log in."""
        configured = config.new_client_from_config(str(endpoints.kubeconfig), context=context)  # type: ignore[no-untyped-call]
        self._apps, self._core = client.AppsV1Api(configured), client.CoreV1Api(configured)
        self._policy = client.PolicyV1Api(configured)
        self._autoscaling = client.AutoscalingV1Api(configured)
        self._namespace = endpoints.namespace

    def scale(self, deployment: str, replicas: int) -> None:
        """Like `kubectl scale`."""
        self._apps.patch_namespaced_deployment_scale(deployment, self._namespace, {"spec": {"replicas": replicas}})

    def scale_at_least(self, replicas: int) -> None:
        """Raise the autoscaler's lower bound."""
        changes = {"spec": {"minReplicas": replicas}}
        self._autoscaling.patch_namespaced_horizontal_pod_autoscaler("orchestration", self._namespace, changes)

    def set_pool_size(self, size: int) -> None:
        """Change the configuration."""
        changes = {"data": {POOL_SIZE: str(size)}}
        self._core.patch_namespaced_config_map("orchestration-config", self._namespace, changes)

    def pool_size(self) -> int:
        """The configured one."""
        data = self._core.read_namespaced_config_map("orchestration-config", self._namespace).data or {}
        return int(data[POOL_SIZE])

    def restart(self) -> None:
        """Like `kubectl rollout restart`."""
        annotations = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
        changes = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self._apps.patch_namespaced_deployment("orchestration", self._namespace, changes)

    def restarted(self) -> bool:
        """Like `kubectl rollout status`: whether every pod is a new one and ready."""
        deployment = self._apps.read_namespaced_deployment("orchestration", self._namespace)
        assert deployment.metadata
        assert deployment.spec
        status, wanted = deployment.status, deployment.spec.replicas
        return (
            status is not None
            and (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
            and status.replicas == status.updated_replicas == status.ready_replicas == wanted
        )

    def replicas(self, deployment: str) -> int:
        """How many pods a deployment wants."""
        return self._apps.read_namespaced_deployment(deployment, self._namespace).spec.replicas or 0

    def delete_deployment(self, deployment: str) -> None:
        """Delete a deployment, if that is allowed."""
        self._apps.delete_namespaced_deployment(deployment, self._namespace)

    def allow_no_disruption(self) -> None:
        """Demand that two pods of the orchestration service are always there."""
        selector = client.V1LabelSelector(match_labels={"app": "orchestration"})
        spec = client.V1PodDisruptionBudgetSpec(min_available=2, selector=selector)
        budget = client.V1PodDisruptionBudget(metadata=client.V1ObjectMeta(name="budget"), spec=spec)
        self._policy.create_namespaced_pod_disruption_budget(self._namespace, budget)

    def allowed_disruptions(self) -> int | None:
        """What the only budget says; None when there is none, or when its controller has not said anything yet."""
        budgets = self._policy.list_namespaced_pod_disruption_budget(self._namespace).items
        return budgets[0].status.disruptions_allowed if budgets and budgets[0].status else None

    def label(self, deployment: str, labels: dict[str, str], annotations: dict[str, str]) -> None:
        """Like `kubectl label` and `kubectl annotate`."""
        changes = {"metadata": {"labels": labels, "annotations": annotations}}
        self._apps.patch_namespaced_deployment(deployment, self._namespace, changes)

    def labels(self, deployment: str) -> dict[str, str]:
        """Labels and annotations."""
        metadata = self._apps.read_namespaced_deployment(deployment, self._namespace).metadata
        assert metadata
        return {**(metadata.labels or {}), **(metadata.annotations or {})}

    def cancel(self, task_id: str) -> int:
        """Cancel a task, like `curl -X DELETE`; the status that is answered."""
        return ask_any_pod(self._core, self._namespace, "DELETE", f"/admin/tasks/{task_id}").status_code
