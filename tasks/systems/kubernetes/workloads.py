"""Deployments: what they are, and when their rollout is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes.client import V1Container

from tasks.model.change import NotInEffect, PreconditionFailed
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.ownership import owner
from tasks.systems.kubernetes.permissions import Permission

READ_DEPLOYMENTS = (Permission("apps/v1", "deployments", "get"),)
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class EnvSource:
    """Where a container's environment variable gets its value: `configmap` and `key`, `value` itself, or `elsewhere`
    (a Secret, a field of the pod), where it can be neither read nor set."""

    value: str | None = None
    configmap: str | None = None
    key: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """A Deployment as read."""

    name: str
    namespace: str
    version: str
    replicas: int
    ready: int
    updated: int
    available: int
    total: int
    observed: bool
    paused: bool
    max_unavailable: int
    max_surge: int
    recreate: bool
    selector: Mapping[str, str]
    pod_labels: Mapping[str, str]
    containers: tuple[V1Container, ...]
    restarted_at: datetime | None = None
    stalled: str = ""
    owner: str = ""

    @property
    def rolled_out(self) -> bool:
        """Whether every pod runs the present template and is available, as `kubectl rollout status` judges."""
        return self.observed and self.updated == self.replicas == self.available == self.total

    @property
    def progress(self) -> str:
        return f"{self.updated} of {self.replicas} pods updated, {self.available} available, {self.total} in all"

    def env(self, name: str) -> tuple[EnvSource, ...]:
        """Where the first container may get an environment variable from, the one that wins first.

        A direct entry is the only source. Without one it is the last ConfigMap of envFrom that has the key; which one
        that is cannot be told from here. Secrets of envFrom are left out: they hold no settings.
        """
        container = self.containers[0]
        for entry in reversed(container.env or ()):
            if entry.name == name:
                if not entry.value_from:
                    return (EnvSource(entry.value),)
                ref = entry.value_from.config_map_key_ref
                return (EnvSource(configmap=ref.name, key=ref.key) if ref else EnvSource(elsewhere=True),)
        return tuple(
            EnvSource(configmap=source.config_map_ref.name, key=name.removeprefix(source.prefix or ""))
            for source in reversed(container.env_from or ())
            if source.config_map_ref and name.startswith(source.prefix or "")
        )


def read_deployment(cluster: Cluster, name: str) -> Deployment:
    """The Deployment.

    Raises:
        ApiException: 404 when there is none, 403 when reading is forbidden.
    """
    found = cluster.apps.read_namespaced_deployment(name, cluster.namespace, _request_timeout=cluster.timeout)
    return _deployment(found)


def _deployment(found: Any) -> Deployment:
    # Any: the generated client declares every field optional, the server always sends these.
    spec, status, meta = found.spec, found.status, found.metadata
    rolling = spec.strategy.rolling_update if spec.strategy else None
    restarted = ((spec.template.metadata and spec.template.metadata.annotations) or {}).get(RESTARTED_AT)
    stalled = next(
        (c.message or c.reason for c in status.conditions or () if c.type == "Progressing" and c.status == "False"), ""
    )
    count = spec.replicas if spec.replicas is not None else 1
    away = _share(rolling.max_unavailable if rolling else None, count, math.floor)
    added = _share(rolling.max_surge if rolling else None, count, math.ceil)
    return Deployment(
        name=meta.name,
        namespace=meta.namespace,
        version=meta.resource_version,
        replicas=count,
        ready=status.ready_replicas or 0,
        updated=status.updated_replicas or 0,
        available=status.available_replicas or 0,
        total=status.replicas or 0,
        observed=(status.observed_generation or 0) >= meta.generation,
        paused=bool(spec.paused),
        max_unavailable=away if away or added else 1,  # else no rollout would ever move, so Kubernetes takes one
        max_surge=added,
        recreate=bool(spec.strategy and spec.strategy.type == "Recreate"),
        selector=dict(spec.selector.match_labels or {}),
        pod_labels=dict((spec.template.metadata and spec.template.metadata.labels) or {}),
        containers=tuple(spec.template.spec.containers),
        restarted_at=_moment(restarted),
        stalled=stalled,
        owner=owner(meta),
    )


def _moment(stamp: str | None) -> datetime | None:
    """The moment of a stamp; None for what is none: anybody may write anything into an annotation."""
    try:
        moment = datetime.fromisoformat(stamp or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _share(value: int | str | None, replicas: int, rounding: Callable[[float], int]) -> int:
    """maxSurge and maxUnavailable may be per cent: surge is rounded up, unavailable down; the default is 25 %."""
    if value is None:
        value = "25%"
    if isinstance(value, str) and value.endswith("%"):
        return rounding(replicas * int(value[:-1]) / 100)
    return int(value)


def wait_for_rollout(cluster: Cluster, name: str, within: timedelta) -> str:
    """Waits until the Deployment's present template runs everywhere.

    Raises:
        NotInEffect: it does not, with what is missing.
    """
    deadline = time.monotonic() + within.total_seconds()
    while True:
        deployment = read_deployment(cluster, name)
        if deployment.rolled_out:
            return f"rollout complete: {deployment.available} pods available"
        if deployment.stalled:
            raise NotInEffect(f"the rollout of {name} is stuck: {deployment.stalled}")
        if time.monotonic() > deadline:
            raise NotInEffect(f"the rollout of {name} is not done after {within}: {deployment.progress}")
        time.sleep(_POLL)


def require_capacity(deployment: Deployment) -> None:
    """Whether a rollout keeps the capacity that there is.

    Raises:
        PreconditionFailed: the strategy takes pods away before it adds new ones.
    """
    if deployment.recreate:
        raise PreconditionFailed(f"{deployment.name} stops all pods before it starts new ones (Recreate)")
    if deployment.max_unavailable and deployment.max_surge < deployment.max_unavailable:
        raise PreconditionFailed(
            f"a rollout of {deployment.name} takes {deployment.max_unavailable} pods away "
            f"and adds only {deployment.max_surge} first"
        )
