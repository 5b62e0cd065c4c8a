"""The ground's own access to its cluster: it creates objects, changes them, and looks at pods."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict

from lab.kubernetes.objects import Object, is_deleting, is_pod_ready, name_of, namespace_of
from lab.model import GroundError, Workload

_COLLECTIONS: Mapping[str, str] = {
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
}


class ClusterAccess(BaseModel):
    """Where the API server is, what it is known by, and who asks."""

    model_config = ConfigDict(frozen=True)

    url: str
    certificate: Path
    token: str


@dataclass(frozen=True)
class Pod:
    """A pod that is ready to be asked."""

    name: str
    address: str


class Cluster:
    """A client of the API server. Every method may raise GroundError when the server refuses or cannot be reached."""

    def __init__(self, access: ClusterAccess) -> None:
        """Nothing is sent yet; the server has started, though: its certificate is read."""
        trusted = ssl.create_default_context(cafile=access.certificate)
        headers = {"Authorization": f"Bearer {access.token}", "User-Agent": "practice-ground"}
        self._client = httpx.Client(base_url=access.url, headers=headers, verify=trusted, timeout=10.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, manifest: Object) -> None:
        """Create an object."""
        self._send("POST", _collection(manifest), manifest)

    def replace(self, manifest: Object) -> None:
        """Make an object what the manifest says, whatever it was; create it if it is missing."""
        if self._send("PUT", _path(manifest), manifest, missing_is_fine=True) is None:
            self.create(manifest)

    def recreate(self, manifest: Object) -> None:
        """Delete an object, if it is there, and create it anew."""
        self._send("DELETE", _path(manifest), missing_is_fine=True)
        self.create(manifest)

    def delete_all(self, kind: str, namespace: str) -> None:
        """Delete every object of a kind."""
        self._send("DELETE", _COLLECTIONS[kind].format(namespace=namespace))

    def patch(self, manifest: Object, changes: Object) -> None:
        """Change an object, leaving alone what the changes do not name (a JSON merge patch)."""
        self._send("PATCH", _path(manifest), changes, content_type="application/merge-patch+json")

    def find(self, manifest: Object) -> Object | None:
        """The live object, or None when there is none."""
        return self._send("GET", _path(manifest), missing_is_fine=True)

    def pods(self, namespace: str, **labels: str) -> list[Object]:
        """The pods that have these labels."""
        selector = httpx.QueryParams(labelSelector=",".join(f"{name}={value}" for name, value in labels.items()))
        found = self._send("GET", f"/api/v1/namespaces/{namespace}/pods?{selector}")
        items: list[Object] = [] if found is None else found["items"]
        return items

    def settled(self, manifest: Object) -> bool:
        """Whether a deployment has exactly the pods that it wants: new, ready, and none on its way out."""
        live = self.find(manifest)
        if live is None:
            return False
        desired, status = live["spec"]["replicas"], live.get("status", {})
        return (
            status.get("observedGeneration", 0) >= live["metadata"]["generation"]
            and [status.get(f"{kind}Replicas", 0) for kind in ("updated", "ready", "available")] == [desired] * 3
            and len(self._pods_of(manifest)) == desired
        )

    def workload(self, manifest: Object) -> Workload:
        """How a deployment is doing."""
        live = self.find(manifest)
        desired = 0 if live is None else live["spec"]["replicas"]
        pods = [pod for pod in self._pods_of(manifest) if is_pod_ready(pod) and not is_deleting(pod)]
        return Workload(name=name_of(manifest), ready=len(pods), desired=desired)

    def ready_pods(self, manifest: Object) -> list[Pod]:
        """The ready pods of a deployment."""
        return [
            Pod(name_of(pod), pod["status"]["podIP"])
            for pod in self._pods_of(manifest)
            if is_pod_ready(pod) and not is_deleting(pod)
        ]

    def _pods_of(self, deployment: Object) -> list[Object]:
        return self.pods(namespace_of(deployment), **deployment["spec"]["selector"]["matchLabels"])

    def _send(
        self,
        method: str,
        path: str,
        document: Object | None = None,
        *,
        content_type: str = "application/json",
        missing_is_fine: bool = False,
    ) -> Object | None:
        try:
            response = self._client.request(method, path, json=document, headers={"Content-Type": content_type})
        except httpx.HTTPError as error:
            raise GroundError(f"the cluster does not answer: {error}") from error
        if missing_is_fine and response.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not response.is_success:
            raise GroundError(f"the cluster refused {method} {path}: {response.text}")
        answer: Object = response.json()
        return answer


def _collection(manifest: Object) -> str:
    return _COLLECTIONS[manifest["kind"]].format(namespace=namespace_of(manifest))


def _path(manifest: Object) -> str:
    return f"{_collection(manifest)}/{name_of(manifest)}"
