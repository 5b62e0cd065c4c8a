"""Pods: which are ready, what they write to their logs, what they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubernetes.client import V1Container
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.permissions import Permission

LIST_PODS = (Permission("v1", "pods", "list"),)
READ_LOGS = (*LIST_PODS, Permission("v1", "pods/log", "get"))
READ_USAGE = (Permission("metrics.k8s.io/v1beta1", "pods", "list"),)
_LOG_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod: whether it runs or has ended, and whether an earlier life of it ended before."""

    name: str
    has_log: bool
    had_log: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as read."""

    name: str
    ip: str
    ready: bool
    restarts: int
    last_exit: str
    limits: Mapping[str, float]
    containers: tuple[Container, ...]


def list_pods(cluster: Cluster, labels: Mapping[str, str]) -> list[Pod]:
    """The pods with these labels that are not on their way out."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector=selector, _request_timeout=cluster.timeout
    )
    pods: list[Any] = found.items
    return [_pod(pod) for pod in pods if not pod.metadata.deletion_timestamp]


def _pod(pod: Any) -> Pod:
    statuses = pod.status.container_statuses or []
    exits = (s.last_state.terminated for s in statuses if s.last_state and s.last_state.terminated)
    return Pod(
        pod.metadata.name,
        pod.status.pod_ip or "",
        any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ()),
        sum(s.restart_count for s in statuses),
        next((e.reason or f"exit {e.exit_code}" for e in exits), ""),
        _limits(pod.spec.containers),
        tuple(_container(status) for status in statuses),
    )


def _container(status: Any) -> Container:
    # One that waits for its next start gives out the log of its last life, which is asked for as such.
    return Container(
        status.name,
        bool(status.state and (status.state.running or status.state.terminated)),
        bool(status.last_state and status.last_state.terminated),
    )


def _limits(containers: list[V1Container]) -> dict[str, float]:
    """The limits summed over containers; a resource that one of them does not limit has no limit."""
    totals: dict[str, float] = {}
    for resource in ("cpu", "memory"):
        amounts = [((c.resources and c.resources.limits) or {}).get(resource) for c in containers]
        if all(amount is not None for amount in amounts):
            totals[resource] = float(sum(parse_quantity(amount) for amount in amounts))
    return totals


def metrics_addresses(cluster: Cluster, labels: Mapping[str, str], port: int, path: str = "/metrics") -> list[str]:
    """The metrics endpoint of every ready pod."""
    hosts = [pod.ip for pod in list_pods(cluster, labels) if pod.ready and pod.ip]
    return [f"http://{f'[{host}]' if ':' in host else host}:{port}{path}" for host in hosts]


def pod_logs(cluster: Cluster, labels: Mapping[str, str], since: timedelta) -> list[str]:
    """The log lines of every container since then, of its last life too, at most 2 MB each. A container that has not
    started has written nothing."""
    lines: list[str] = []
    for pod in list_pods(cluster, labels):
        for container in pod.containers:
            if container.had_log:
                lines.extend(_read_log(cluster, pod.name, container.name, since, previous=True).splitlines())
            if container.has_log:
                lines.extend(_read_log(cluster, pod.name, container.name, since, previous=False).splitlines())
    return lines


def _read_log(cluster: Cluster, pod: str, container: str, since: timedelta, *, previous: bool) -> str:
    try:
        response: Any = cluster.core.read_namespaced_pod_log(
            pod,
            cluster.namespace,
            container=container,
            since_seconds=max(1, int(since.total_seconds())),
            limit_bytes=_LOG_BYTES,
            previous=previous,
            _request_timeout=cluster.timeout,
            _preload_content=False,
        )
    except ApiException as error:
        if previous and error.status in (400, 404):  # the last life left no log
            return ""
        raise
    data: bytes = response.data
    return data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one pod uses now: CPU in cores, memory in bytes."""

    pod: str
    cpu: float
    memory: float


def pod_usage(cluster: Cluster, labels: Mapping[str, str]) -> list[Usage]:
    """What every pod uses, from the metrics API.

    Raises:
        ApiException: 404 where no metrics server is installed.
    """
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found: Any = cluster.custom.list_namespaced_custom_object(
        "metrics.k8s.io",
        "v1beta1",
        cluster.namespace,
        "pods",
        label_selector=selector,
        _request_timeout=cluster.timeout,
    )
    return [
        Usage(
            item["metadata"]["name"],
            float(sum(parse_quantity(c["usage"]["cpu"]) for c in item["containers"])),
            float(sum(parse_quantity(c["usage"]["memory"]) for c in item["containers"])),
        )
        for item in found["items"]
    ]
