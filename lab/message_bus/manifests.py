"""What the platform consists of in the cluster, as a team would have written it.

On a normal day 39 events a second meet 2 x 10 workers that do 66 tasks a second: the workers are busy to about 60 %.
They wait rather than compute, so the autoscaler, which looks at processor time, never notices a queue.
"""

from __future__ import annotations

from pathlib import Path

from lab.kubernetes.objects import Object

NAMESPACE = "message-bus"
POOL_SIZE = 10
PORT = 8082

ANALYTICS = "analytics-publisher"
BACKGROUND_JOBS = "background-job-publisher"

_POOL_SIZE_VARIABLE = "ORCHESTRATION_WORKER_POOL_SIZE"


def namespace() -> Object:
    """The namespace that holds everything else."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def orchestration_config() -> Object:
    """The configuration of the orchestration service."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata("orchestration-config", "orchestration"),
        "data": {_POOL_SIZE_VARIABLE: str(POOL_SIZE), "ORCHESTRATION_MAX_RETRIES": "3"},
    }


def orchestration(redis_url: str, audit_log: Path) -> Object:
    """The orchestration service, with the file in which it writes down what its administrators do."""
    environment = [
        {"name": "REDIS_URL", "value": redis_url},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "ORCHESTRATION_AUDIT_LOG", "value": str(audit_log)},
        _from_config(_POOL_SIZE_VARIABLE),
        _from_config("ORCHESTRATION_MAX_RETRIES"),
    ]
    container = {
        "name": "orchestration",
        "image": "orchestration:v0.8.0",
        "command": ["python3", "-m", "lab.message_bus.orchestration"],
        "env": environment,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "1", "memory": "96Mi"}, "limits": {"cpu": "2", "memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 2},
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
    }
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
    return _deployment("orchestration", 2, container, scraped)


def orchestration_autoscaler() -> Object:
    """The autoscaler of the orchestration service; version 1 is what every cluster knows."""
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata("orchestration", "orchestration"),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orchestration"},
            "minReplicas": 2,
            "maxReplicas": 10,
            "targetCPUUtilizationPercentage": 70,
        },
    }


def orchestration_service() -> Object:
    """The address under which the documents know the orchestration service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata("orchestration-service", "orchestration"),
        "spec": {"selector": {"app": "orchestration"}, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
    }


def publishers(redis_url: str) -> tuple[Object, ...]:
    """The applications whose events the platform carries: those that customers wait for, and two that can wait."""
    return (
        _publishers("event-publishers", redis_url, replicas=3, rate=9),
        _publishers(ANALYTICS, redis_url, replicas=2, rate=3),
        _publishers(BACKGROUND_JOBS, redis_url, replicas=2, rate=3),
    )


def _publishers(name: str, redis_url: str, *, replicas: int, rate: int) -> Object:
    """One application; the rate is that of each replica, in events per second."""
    environment = {"REDIS_URL": redis_url, "PUBLISHER": name, "EVENT_RATE": str(rate)}
    container = {
        "name": "publisher",
        "image": f"{name}:v0.8.0",
        "command": ["python3", "-m", "lab.message_bus.publisher"],
        "env": [{"name": variable, "value": value} for variable, value in environment.items()],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
    }
    return _deployment(name, replicas, container, {})


def _metadata(name: str, app: str) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": {"app": app}}


def _from_config(variable: str) -> Object:
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": "orchestration-config", "key": variable}}}


def _deployment(name: str, replicas: int, container: Object, annotations: dict[str, str]) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name, name),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
            },
        },
    }
