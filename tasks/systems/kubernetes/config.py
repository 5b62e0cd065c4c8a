"""A numeric setting of a Deployment's pods, and the rollout that makes pods read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.model.change import Diff, Effect, Happened, NotInEffect, PreconditionFailed
from tasks.model.claim import Claim, Levels, settle
from tasks.model.knob import Dial
from tasks.model.target import Target
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.ownership import owner
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.kubernetes.scaling import DEPLOYMENT, with_conflicts
from tasks.systems.kubernetes.surroundings import READ_BUDGETS, around
from tasks.systems.kubernetes.workloads import (
    READ_DEPLOYMENTS,
    RESTARTED_AT,
    Deployment,
    EnvSource,
    read_deployment,
    require_capacity,
    wait_for_rollout,
)

READ_SETTING = (*READ_DEPLOYMENTS, Permission("v1", "configmaps", "get"))
RESTART = (*READ_DEPLOYMENTS, *READ_BUDGETS, Permission("apps/v1", "deployments", "patch"))
"""A rollout, and a setting that the Deployment itself holds."""
SET = (*READ_SETTING, *RESTART, Permission("v1", "configmaps", "patch"))
CONFIGMAP = "configmap"
_VALUE = "value"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting's value and its one holder: a key of a ConfigMap, or the Deployment's own env entry."""

    name: str
    value: int
    holder: Target
    key: str
    version: str
    owner: str = ""


def read_setting(cluster: Cluster, deployment: str, name: str, default: int) -> Setting:
    """The value that a new pod would get. A direct env entry wins over a ConfigMap.

    Raises:
        PreconditionFailed: the value is not a whole number, or the holder cannot be told.
        ApiException: an object is missing or may not be read.
    """
    found = read_deployment(cluster, deployment)
    sources = found.env(name)
    if not sources:
        raise PreconditionFailed(f"{deployment} has no environment variable {name}, so nothing would read it")
    holders = [_holder(cluster, found, name, source) for source in sources]
    holder = next((holder for holder in holders if holder.text is not None), holders[0])
    value = _whole(name, holder.text, default)
    return Setting(name, value, holder.target, holder.key, holder.version, holder.owner)


@dataclass(frozen=True, slots=True)
class _Holder:
    target: Target
    key: str
    version: str
    text: str | None
    owner: str


def _holder(cluster: Cluster, deployment: Deployment, name: str, source: EnvSource) -> _Holder:
    if source.elsewhere:
        raise PreconditionFailed(f"{name} of {deployment.name} comes from a Secret or a field of the pod")
    if source.configmap is None:
        target = Target(DEPLOYMENT, cluster.namespace, deployment.name)
        return _Holder(target, name, deployment.version, source.value, deployment.owner)
    configmap: Any = cluster.core.read_namespaced_config_map(
        source.configmap, cluster.namespace, _request_timeout=cluster.timeout
    )
    meta = configmap.metadata
    target = Target(CONFIGMAP, cluster.namespace, source.configmap)
    return _Holder(target, source.key, meta.resource_version, (configmap.data or {}).get(source.key), owner(meta))


def _whole(name: str, value: str | None, default: int) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except ValueError:
        raise PreconditionFailed(f"{name} is {value!r}, not a whole number") from None


@dataclass(frozen=True, slots=True)
class EnvSetting:
    """A number that pods read from their environment at their start, in its one holder.

    `counts` is what the site's limits call it, `default` what pods take where nothing sets it. A number that was not
    there before is given back as that default: that is what pods took.
    """

    cluster: Cluster
    deployment: str
    name: str
    holder: Target
    default: int
    counts: str

    @property
    def target(self) -> Target:
        return self.holder

    @property
    def field(self) -> str:
        return self.name

    @property
    def rolls_out(self) -> bool:
        """Whether writing it replaces the pods, so that no restart has to follow."""
        return self.holder.kind == DEPLOYMENT

    def _read(self) -> Setting:
        setting = read_setting(self.cluster, self.deployment, self.name, self.default)
        if setting.holder != self.holder:
            raise PreconditionFailed(f"{self.name} is now held by {setting.holder}, not by {self.holder}")
        return setting

    def read(self) -> Dial:
        """The value that a new pod would get.

        Raises:
            PreconditionFailed: another object holds it now, or it is not a whole number.
        """
        setting = self._read()
        deployment = read_deployment(self.cluster, self.deployment)
        if self.rolls_out:
            require_capacity(deployment)
        surroundings = around(self.cluster, deployment, setting.owner, rolls_out=self.rolls_out)
        return Dial({_VALUE: setting.value}, setting.version, "", surroundings)

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        return {_VALUE: settle(baseline[_VALUE], claims)}

    def show(self, levels: Levels) -> str:
        return str(levels[_VALUE])

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        return {self.counts: levels[_VALUE]}

    def effect(self, *, lowers: bool) -> Effect:
        """An env entry of the Deployment itself cannot be changed without a rollout."""
        return Effect.DISRUPTIVE if self.rolls_out else Effect.REVERSIBLE

    def write(self, levels: Levels, version: str) -> None:
        """Patches the holder; the server refuses if it has changed since it was read."""
        setting, value = self._read(), str(levels[_VALUE])
        metadata = {"resourceVersion": version}
        if self.holder.kind == CONFIGMAP:
            with_conflicts(
                self.target,
                lambda: self.cluster.core.patch_namespaced_config_map(
                    self.holder.name,
                    self.cluster.namespace,
                    {"metadata": metadata, "data": {setting.key: value}},
                    _request_timeout=self.cluster.timeout,
                ),
            )
            return
        container = read_deployment(self.cluster, self.deployment).containers[0].name
        template = {"spec": {"containers": [{"name": container, "env": [{"name": self.name, "value": value}]}]}}
        with_conflicts(
            self.target,
            lambda: self.cluster.apps.patch_namespaced_deployment(
                self.deployment,
                self.cluster.namespace,
                {"metadata": metadata, "spec": {"template": template}},
                _request_timeout=self.cluster.timeout,
            ),
        )

    def verify(self, levels: Levels, within: timedelta) -> str:
        """Reads the setting back; it takes effect with the rollout that follows, or with its own."""
        setting = self._read()
        if setting.value != levels[_VALUE]:
            raise NotInEffect(f"{self.name} reads {setting.value} after it was set to {levels[_VALUE]}")
        if self.rolls_out:
            return wait_for_rollout(self.cluster, self.deployment, within)
        return f"{self.name} reads {setting.value}"


@dataclass(frozen=True, slots=True)
class Restart:
    """New pods for a Deployment, one after the other, because its pods still run with an older state.

    `since` identifies the restart: a Deployment whose pods were restarted at or after it needs no other. So a repeat
    of the same change is the same restart and not a second one.
    """

    cluster: Cluster
    deployment: str
    reason: str
    since: datetime
    asks: str = ""
    effect: Effect = Effect.DISRUPTIVE
    restore: str = "nothing to give back"

    @property
    def target(self) -> Target:
        return Target(DEPLOYMENT, self.cluster.namespace, self.deployment)

    @property
    def field(self) -> str:
        return "rollout"

    @property
    def wanted(self) -> str:
        return f"restarted, {self.reason}"

    def diff(self) -> Diff:
        """Whether a restart is needed."""
        deployment = read_deployment(self.cluster, self.deployment)
        restarted = deployment.restarted_at
        if restarted and restarted >= self.since:
            done = f"restarted at {restarted:%H:%M:%S}"
            return Diff(done, done, deployment.version)
        require_capacity(deployment)
        before = f"{deployment.ready} pods, " + (f"restarted {restarted:%Y-%m-%d %H:%M:%S}" if restarted else "running")
        # Nobody owns a restart: it is no setting that anybody would put back.
        surroundings = around(self.cluster, deployment, "", rolls_out=True)
        return Diff(before, "new pods", deployment.version, around=surroundings)

    def happened(self, since: datetime) -> Happened:
        """Whether the pods were restarted since then."""
        restarted = read_deployment(self.cluster, self.deployment).restarted_at
        return Happened.YES if restarted and restarted >= min(since, self.since) else Happened.NO

    def apply(self, diff: Diff) -> None:
        """Stamps the pod template, as `kubectl rollout restart` does."""
        # Not cut to seconds: then the stamp could lie before `since`, and a repeat would restart once more.
        stamp = max(self.since, datetime.now(UTC)).isoformat()
        template = {"metadata": {"annotations": {RESTARTED_AT: stamp}}}
        with_conflicts(
            self.target,
            lambda: self.cluster.apps.patch_namespaced_deployment(
                self.deployment,
                self.cluster.namespace,
                {"metadata": {"resourceVersion": diff.version}, "spec": {"template": template}},
                _request_timeout=self.cluster.timeout,
            ),
        )

    def verify(self, within: timedelta) -> str:
        """Waits for the rollout."""
        return wait_for_rollout(self.cluster, self.deployment, within)
