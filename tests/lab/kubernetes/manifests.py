"""Objects that the suite creates."""

from __future__ import annotations

from typing import Any

from tests.lab.kubernetes.clusters import Cluster, eventually

SLEEP = ["sh", "-c", "echo started; exec sleep 1000"]
SERVE = [
    "python",
    "-u",
    "-c",
    "import http.server, os\n"
    "print('serving', os.environ['GREETING'])\n"
    "http.server.HTTPServer((os.environ['POD_IP'], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()",
]
BURN = ["sh", "-c", "while :; do :; done"]


def deployment(name: str, replicas: int = 1, command: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    """A deployment of pods with one container `c`; further arguments are fields of its spec."""
    container: dict[str, Any] = {
        "name": "c",
        "image": "local/program:1",
        "command": command or SLEEP,
        "env": [{"name": "COLOR", "value": "blue"}],
        "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}},
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def serving(name: str, replicas: int = 1) -> dict[str, Any]:
    """A deployment of HTTP servers with a readiness probe, configured by the ConfigMap NAME-config."""
    document = deployment(name, replicas, SERVE)
    container = document["spec"]["template"]["spec"]["containers"][0]
    reference = {"configMapKeyRef": {"name": f"{name}-config", "key": "GREETING"}}
    container["env"] += [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "GREETING", "valueFrom": reference},
    ]
    container["ports"] = [{"name": "http", "containerPort": 8080}]
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    return document


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod of its own; a container given by a part of its fields gets name and image."""
    filled = [{"name": f"c{index}", "image": "local/program:1", **each} for index, each in enumerate(containers)]
    spec = {"containers": filled, "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def autoscaler(name: str, low: int, high: int, target: int = 50) -> dict[str, Any]:
    """autoscaling/v1, which every server has."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": reference,
            "minReplicas": low,
            "maxReplicas": high,
            "targetCPUUtilizationPercentage": target,
        },
    }


_COLLECTIONS = {
    "Namespace": ("/api/v1", "namespaces"),
    "Pod": ("/api/v1", "pods"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Secret": ("/api/v1", "secrets"),
    "Event": ("/api/v1", "events"),
    "Node": ("/api/v1", "nodes"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v1", "horizontalpodautoscalers"),
}


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where objects of a kind are served; the namespace is empty for cluster-scoped kinds."""
    prefix, plural = _COLLECTIONS[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def create(cluster: Cluster, namespace: str, *documents: dict[str, Any]) -> None:
    """Creates objects, and fails the test when that is refused."""
    for document in documents:
        answer = cluster.request("POST", path_of(document["kind"], namespace), document)
        assert answer.is_success, answer.text


def create_namespace(cluster: Cluster, name: str) -> None:
    create(cluster, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def delete_namespace(cluster: Cluster, name: str) -> None:
    cluster.request("DELETE", path_of("Namespace", "", name))


def get(cluster: Cluster, namespace: str, kind: str, name: str) -> dict[str, Any]:
    answer = cluster.request("GET", path_of(kind, namespace, name))
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get_all(cluster: Cluster, namespace: str, kind: str, selector: str = "") -> list[dict[str, Any]]:
    answer = cluster.request("GET", path_of(kind, namespace), labelSelector=selector)
    assert answer.is_success, answer.text
    listed = answer.json()
    return [{"apiVersion": listed["apiVersion"], "kind": kind, **item} for item in listed["items"]]


def await_rollout(cluster: Cluster, namespace: str, name: str) -> None:
    """Until the deployment is observed, updated and available, with no pod of an older template left."""

    def is_complete() -> bool:
        live = get(cluster, namespace, "Deployment", name)
        wanted, status = live["spec"]["replicas"], live.get("status", {})
        counts = [status.get(f"{count}eplicas", 0) for count in ("r", "updatedR", "availableR")]
        return status.get("observedGeneration", 0) >= live["metadata"]["generation"] and counts == [wanted] * 3

    eventually(is_complete, within=25)


def await_pods(cluster: Cluster, namespace: str, selector: str, count: int) -> list[dict[str, Any]]:
    """The ready pods, when there are exactly so many pods and all of them are ready."""

    def ready() -> list[dict[str, Any]] | None:
        pods = get_all(cluster, namespace, "Pod", selector)
        good = [each for each in pods if _is_ready(each) and "deletionTimestamp" not in each["metadata"]]
        return good if len(pods) == len(good) == count else None

    found: list[dict[str, Any]] = eventually(ready, within=20)
    return found


def _is_ready(document: dict[str, Any]) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in document["status"].get("conditions", ())
    )
