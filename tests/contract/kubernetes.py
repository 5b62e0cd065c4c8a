"""A namespace of a real cluster, the accounts that look into it, and the audit log that judges what was written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.message_bus.platform import MessageBus
from tasks.claims import Claiming
from tasks.making import CONFLICTS
from tasks.model.change import Change, Conflict
from tasks.model.claim import Bound, Claim
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.config import EnvSetting, Restart, read_setting
from tests.lab.kubernetes import clusters, manifests

NAME = "orchestration"
KEY = "ORCHESTRATION_WORKER_POOL_SIZE"
CONFIGMAP = "orchestration-config"
SOON = timedelta(seconds=20)
DEFAULT = 10
WORKERS = "workers per pod"
SICK: dict[str, Any] = {"exec": {"command": ["false"]}, "periodSeconds": 1}  # a readiness probe that never succeeds


@dataclass(frozen=True)
class Write:
    """One write of ours that reached the API server."""

    verb: str
    what: str
    code: int
    body: Any


@dataclass
class Site:
    """One namespace. What is done as `admin` is somebody else's doing, what is done as `operator` is ours."""

    server: clusters.Cluster
    namespace: str
    mark: int = 0

    def cluster(self, account: str = "operator") -> Cluster:
        """The namespace as an account of ours reaches it."""
        return Cluster(self.namespace, account, str(self.server.kubeconfig(account)))

    def bus(self, account: str = "operator", **settings: Any) -> MessageBus:
        """The platform's block for this namespace."""
        kubeconfig = str(self.server.kubeconfig(account))
        return MessageBus(namespace=self.namespace, context=account, kubeconfig=kubeconfig, **settings)

    def create(self, *documents: dict[str, Any], settled: bool = True) -> None:
        """Objects, and their rollouts done. What is written from here on is counted."""
        manifests.create(self.server, self.namespace, *documents)
        for document in documents:
            if settled and document["kind"] == "Deployment":
                manifests.await_rollout(self.server, self.namespace, document["metadata"]["name"])
        self.mark = self.server.audit_log.stat().st_size

    def patch(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Somebody else at work."""
        path = manifests.path_of(kind, self.namespace, name)
        answer = self.server.request("PATCH", path, document, kind="application/merge-patch+json")
        assert answer.is_success, answer.text

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object as it is."""
        return manifests.get(self.server, self.namespace, kind, name)

    def pods(self) -> list[dict[str, Any]]:
        """The pods of the Deployment that are not on their way out."""
        found = manifests.get_all(self.server, self.namespace, "Pod", f"app={NAME}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def replicas(self, name: str = NAME) -> int:
        """How many pods the Deployment wants."""
        return int(self.get("Deployment", name)["spec"]["replicas"])

    def bounds(self, name: str = NAME) -> tuple[int, int]:
        """Minimum and maximum of the autoscaler."""
        spec = self.get("HorizontalPodAutoscaler", name)["spec"]
        return spec["minReplicas"], spec["maxReplicas"]

    def writes(self) -> list[Write]:
        """What our accounts wrote since the objects were created, refused writes too."""
        found = []
        for record in self.server.audit(self.mark):
            target = record.get("objectRef", {})
            if target.get("namespace") != self.namespace or record["user"]["username"] not in ("runbooks", "viewer"):
                continue
            if record["verb"] in ("get", "list", "watch"):
                continue
            what = "/".join(filter(None, (target["resource"], target.get("subresource"), target.get("name"))))
            found.append(Write(record["verb"], what, record["responseStatus"]["code"], record.get("requestObject")))
        return found


def knob(site: Site, account: str = "operator") -> EnvSetting:
    """The pool size, wherever it is held."""
    held = read_setting(site.cluster("viewer"), NAME, KEY, DEFAULT)
    return EnvSetting(site.cluster(account), NAME, KEY, held.holder, DEFAULT, WORKERS)


def floor(site: Site, at_least: int, account: str = "operator") -> Claiming:
    """The pool size of at least so much."""
    return Claiming(knob(site, account), Claim(Bound.AT_LEAST, at_least), "later")


def restart(site: Site, since: datetime, account: str = "operator") -> Restart:
    """New pods, for one reason."""
    return Restart(site.cluster(account), NAME, "to read the setting", since)


def data(site: Site, name: str = CONFIGMAP) -> dict[str, str]:
    """What a ConfigMap holds."""
    found: dict[str, str] = site.get("ConfigMap", name)["data"]
    return found


def uids(site: Site) -> set[str]:
    """Which pods there are."""
    return {pod["metadata"]["uid"] for pod in site.pods()}


def carried_out(change: Change) -> str:
    """What came of the change, as a run would make it: controllers write at any time, and then it is read again."""
    for _ in range(CONFLICTS):
        diff = change.diff()
        try:
            if diff.needed:
                change.apply(diff)
                change.verify(SOON)
        except Conflict:
            continue
        return str(diff)
    raise AssertionError(f"{change.target} never held still")


def workload(
    replicas: int = 1, *, env: list[dict[str, Any]] | None = None, sources: list[str] | None = None, **spec: Any
) -> dict[str, Any]:
    """The orchestration Deployment, with its pool size from these places."""
    document = manifests.deployment(NAME, replicas, **spec)
    container = document["spec"]["template"]["spec"]["containers"][0]
    if env is not None:
        container["env"] = env
    if sources is not None:
        container["envFrom"] = [{"configMapRef": {"name": source}} for source in sources]
    return document


def settings(name: str = CONFIGMAP, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return manifests.config_map(name, **data)
