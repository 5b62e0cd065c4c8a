"""Somebody who looks at the platform from outside, and sees what any monitoring would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from kubernetes import client, config
from prometheus_client.parser import text_string_to_metric_families

from lab.model import Endpoints


def pod_addresses(core: client.CoreV1Api, namespace: str) -> list[str]:
    """Where the pods of the orchestration service are, or will be in a moment; not of those that are ending."""
    pods = core.list_namespaced_pod(namespace, label_selector="app=orchestration").items
    staying = [pod for pod in pods if pod.metadata and not pod.metadata.deletion_timestamp]
    return [pod.status.pod_ip for pod in staying if pod.status and pod.status.pod_ip]


def ask_any_pod(core: client.CoreV1Api, namespace: str, method: str, path: str) -> httpx.Response:
    """Send a request to the first pod that can be reached."""
    for address in pod_addresses(core, namespace):
        try:
            return httpx.request(method, f"http://{address}:8082{path}", timeout=5, trust_env=False)
        except httpx.ConnectError:
            continue
    raise AssertionError("no pod can be reached")


@dataclass(frozen=True)
class View:
    """What the pods said at one time."""

    pending: float
    """Tasks, of all pods; NaN when no pod knows."""
    pools: Sequence[tuple[int, int]]
    """For each pod its busy workers, and all its workers."""

    @property
    def workers(self) -> int:
        """How many there are."""
        return sum(size for _, size in self.pools)

    @property
    def all_busy(self) -> bool:
        """Whether no worker has time to spare."""
        return all(active == size for active, size in self.pools)

    @property
    def utilisation(self) -> float:
        """The share of the workers that are busy."""
        return sum(active for active, _ in self.pools) / self.workers


class Observer:
    """Asks the pods."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Log in as somebody who may only read."""
        configured = config.new_client_from_config(str(endpoints.kubeconfig), context="viewer")  # type: ignore[no-untyped-call]
        self._core, self._namespace = client.CoreV1Api(configured), endpoints.namespace
        self._http = httpx.Client(timeout=5, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def look(self) -> View:
        """What the pods say now; those that are coming up or going away say nothing."""
        pages = []
        for address in pod_addresses(self._core, self._namespace):
            try:
                pages.append(self._http.get(f"http://{address}:8082/metrics").text)
            except httpx.TransportError:
                continue
        values = [
            {sample.name: sample.value for family in text_string_to_metric_families(page) for sample in family.samples}
            for page in pages
        ]
        return View(
            max((each["orchestration_task_queue_pending"] for each in values), default=float("nan")),
            [
                (int(each["orchestration_worker_pool_active"]), int(each["orchestration_worker_pool_max"]))
                for each in values
            ],
        )

    def running_longer_than(self, seconds: float) -> list[str]:
        """Ids of the tasks that have been running for so long."""
        answer = self._ask(f"/admin/tasks?status=running&duration_gt={seconds:g}")
        return [task["id"] for task in answer.json()["tasks"]]

    def restarts(self) -> int:
        """How often containers of the orchestration service were started again."""
        pods = self._core.list_namespaced_pod(self._namespace, label_selector="app=orchestration").items
        return sum(state.restart_count for pod in pods if pod.status for state in pod.status.container_statuses or ())

    def blocked(self) -> list[str]:
        """Ids of the tasks that wait for another one."""
        found: list[str] = self._ask("/admin/dependencies").json()["blocked_tasks"]
        return found

    def _ask(self, path: str) -> httpx.Response:
        return ask_any_pod(self._core, self._namespace, "GET", path)
