"""How many pods: the autoscaler where there is one, the Deployment where not.

An autoscaler rewrites a Deployment's replicas at its next sync, so next to one only its own bounds count.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kubernetes.client.exceptions import ApiException

from tasks.model.change import Conflict, Effect, NotInEffect, PreconditionFailed
from tasks.model.claim import Bound, Claim, Levels, settle
from tasks.model.knob import Dial, Knob
from tasks.model.target import Target
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.ownership import owner
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.kubernetes.surroundings import READ_BUDGETS, around
from tasks.systems.kubernetes.workloads import READ_DEPLOYMENTS, Deployment, read_deployment

DEPLOYMENT, AUTOSCALER, BOUNDS = "deployment", "autoscaler", "bounds"
REPLICAS, MINIMUM, MAXIMUM = "replicas", "minReplicas", "maxReplicas"
READ_AUTOSCALERS = (Permission("autoscaling/v1", "horizontalpodautoscalers", "list"),)
SCALE = (
    *READ_DEPLOYMENTS,
    *READ_AUTOSCALERS,
    *READ_BUDGETS,
    Permission("apps/v1", "deployments/scale", "patch"),
    Permission("autoscaling/v1", "horizontalpodautoscalers", "get"),
    Permission("autoscaling/v1", "horizontalpodautoscalers", "patch"),
)
"""What it takes to change the number of pods, with or without an autoscaler."""
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler as read."""

    name: str
    version: str
    minimum: int
    maximum: int
    current: int
    desired: int
    deployment: str = ""
    owner: str = ""

    @property
    def reacting(self) -> bool:
        """Whether it is scaling up by itself at this moment."""
        return self.desired > self.current


def read_autoscaler(cluster: Cluster, deployment: str) -> Autoscaler | None:
    """The autoscaler that owns the Deployment's replicas, or None."""
    found = cluster.autoscaling.list_namespaced_horizontal_pod_autoscaler(
        cluster.namespace, _request_timeout=cluster.timeout
    )
    return next((_autoscaler(item) for item in found.items if _scales(item) == deployment), None)


def _scales(found: Any) -> str:
    ref = found.spec.scale_target_ref
    return str(ref.name) if ref.kind == "Deployment" else ""


def _autoscaler(found: Any) -> Autoscaler:
    status = found.status
    return Autoscaler(
        found.metadata.name,
        found.metadata.resource_version,
        found.spec.min_replicas if found.spec.min_replicas is not None else 1,
        found.spec.max_replicas,
        (status.current_replicas if status else 0) or 0,
        (status.desired_replicas if status else 0) or 0,
        _scales(found),
        owner(found.metadata),
    )


def replica_knob(
    cluster: Cluster, deployment: str, replicas: int, scaler: Autoscaler | None, claim: Claim, *, quiet: bool
) -> Knob:
    """The knob that decides the number of pods: the autoscaler's bounds, or the Deployment's replicas where there is
    no autoscaler, where 0 replicas have switched it off, and where none at all are wanted (no autoscaler goes below 1).

    `quiet` says that a pod that goes gives its work back, so that fewer pods disturb nobody.
    """
    if claim == Claim(Bound.AT_LEAST, 0):
        raise ValueError(f"'at least 0' pods of {deployment} says nothing")
    if scaler is None or replicas == 0 or claim.value == 0:
        return DeploymentReplicas(cluster, deployment, quiet)
    return AutoscalerBounds(cluster, scaler.name, quiet)


@dataclass(frozen=True, slots=True)
class DeploymentReplicas:
    """The replicas of a Deployment."""

    cluster: Cluster
    deployment: str
    quiet: bool = False

    @property
    def target(self) -> Target:
        return Target(DEPLOYMENT, self.cluster.namespace, self.deployment)

    @property
    def field(self) -> str:
        return REPLICAS

    def read(self) -> Dial:
        """The replicas now.

        Raises:
            PreconditionFailed: an autoscaler decides them.
        """
        found = read_deployment(self.cluster, self.deployment)
        scaler = read_autoscaler(self.cluster, self.deployment)
        note = f"autoscaler {scaler.name} is switched off by 0 replicas" if scaler and not found.replicas else ""
        surroundings = around(self.cluster, found, found.owner, rolls_out=False)
        return Dial({REPLICAS: found.replicas}, found.version, note, surroundings)

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        return {REPLICAS: settle(baseline[REPLICAS], claims)}

    def show(self, levels: Levels) -> str:
        return str(levels[REPLICAS])

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        return {REPLICAS: levels[REPLICAS]}

    def effect(self, *, lowers: bool) -> Effect:
        return Effect.DISRUPTIVE if lowers and not self.quiet else Effect.REVERSIBLE

    def write(self, levels: Levels, version: str) -> None:
        """Patches the scale; the server refuses if the Deployment has changed since it was read."""
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": levels[REPLICAS]}}
        with_conflicts(
            self.target,
            lambda: self.cluster.apps.patch_namespaced_deployment_scale(
                self.deployment, self.cluster.namespace, body, _request_timeout=self.cluster.timeout
            ),
        )

    def verify(self, levels: Levels, within: timedelta) -> str:
        """Waits until exactly so many pods are there and ready; or more, where that switched an autoscaler on again."""
        wanted = levels[REPLICAS]
        scaler = read_autoscaler(self.cluster, self.deployment) if wanted else None
        most = max(wanted, scaler.maximum) if scaler else wanted
        return _wait(self.cluster, self.deployment, wanted, most, within)


@dataclass(frozen=True, slots=True)
class AutoscalerBounds:
    """Minimum and maximum of an autoscaler.

    A floor raises the minimum, and the maximum where that is lower. A ceiling lowers the maximum, and the minimum
    where that is higher.
    """

    cluster: Cluster
    name: str
    quiet: bool = False

    @property
    def target(self) -> Target:
        return Target(AUTOSCALER, self.cluster.namespace, self.name)

    @property
    def field(self) -> str:
        return BOUNDS

    def read(self) -> Dial:
        """The bounds now.

        Raises:
            PreconditionFailed: its Deployment has 0 replicas, so the autoscaler is switched off.
        """
        found, deployment = self._read()
        if deployment.replicas == 0:
            raise PreconditionFailed(f"{deployment.name} has 0 replicas, which switches its autoscaler off")
        return Dial(
            {MINIMUM: found.minimum, MAXIMUM: found.maximum},
            found.version,
            f"{deployment.replicas} replicas now",
            around(self.cluster, deployment, found.owner, rolls_out=False),
        )

    def _read(self) -> tuple[Autoscaler, Deployment]:
        found = _autoscaler(
            self.cluster.autoscaling.read_namespaced_horizontal_pod_autoscaler(
                self.name, self.cluster.namespace, _request_timeout=self.cluster.timeout
            )
        )
        return found, read_deployment(self.cluster, found.deployment)

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        claims = tuple(claims)
        minimum = settle(baseline[MINIMUM], claims)
        ceilings = [claim.value for claim in claims if claim.bound is Bound.AT_MOST]
        return {MINIMUM: minimum, MAXIMUM: max(min([baseline[MAXIMUM], *ceilings]), minimum)}

    def show(self, levels: Levels) -> str:
        return f"{levels[MINIMUM]} to {levels[MAXIMUM]} replicas"

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        return {REPLICAS: levels[MINIMUM]}

    def effect(self, *, lowers: bool) -> Effect:
        return Effect.DISRUPTIVE if lowers and not self.quiet else Effect.REVERSIBLE

    def write(self, levels: Levels, version: str) -> None:
        """Patches the bounds; the server refuses if the autoscaler has changed since it was read."""
        body = {
            "metadata": {"resourceVersion": version},
            "spec": {MINIMUM: levels[MINIMUM], MAXIMUM: levels[MAXIMUM]},
        }
        with_conflicts(
            self.target,
            lambda: self.cluster.autoscaling.patch_namespaced_horizontal_pod_autoscaler(
                self.name, self.cluster.namespace, body, _request_timeout=self.cluster.timeout
            ),
        )

    def verify(self, levels: Levels, within: timedelta) -> str:
        """Waits until the number of pods lies within the bounds, and at least the minimum are ready."""
        deployment = self._read()[0].deployment
        return _wait(self.cluster, deployment, levels[MINIMUM], levels[MAXIMUM], within)


def with_conflicts(target: Target, write: Any) -> None:
    """Makes a write that carries a resourceVersion; a 409 says that the target has changed since it was read.

    Raises:
        Conflict: it has.
    """
    try:
        write()
    except ApiException as error:
        if error.status == 409:
            raise Conflict(f"{target} changed between reading and writing") from error
        raise


def _wait(cluster: Cluster, name: str, least: int, most: int, within: timedelta) -> str:
    deadline = time.monotonic() + within.total_seconds()
    while True:
        found = read_deployment(cluster, name)
        if least <= found.replicas <= most and found.total <= most and found.ready >= least:
            return f"{found.ready} of {found.replicas} pods ready"
        if time.monotonic() > deadline:
            raise NotInEffect(f"{name} has {found.ready} ready pods of {found.replicas} after {within}")
        time.sleep(_POLL)
