"""Kubernetes in numbers: quantities, shares of replicas, what a rollout may take away, who holds a setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kubernetes.client import ApiClient, V1Container, V1Deployment, V1ResourceRequirements

from tasks.model.change import Effect, PreconditionFailed
from tasks.model.claim import Bound, Claim
from tasks.model.knob import Knob
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.config import _whole
from tasks.systems.kubernetes.ownership import owner
from tasks.systems.kubernetes.pods import _limits
from tasks.systems.kubernetes.scaling import (
    MAXIMUM,
    MINIMUM,
    Autoscaler,
    AutoscalerBounds,
    DeploymentReplicas,
    replica_knob,
)
from tasks.systems.kubernetes.surroundings import _selects, _taken_away, under_way
from tasks.systems.kubernetes.workloads import Deployment, EnvSource, _deployment, require_capacity

QUANTITIES = [
    ("250m", 0.25),
    ("2", 2),
    ("0.5", 0.5),
    ("1500000n", 0.0015),
    ("128Mi", 128 * 1024**2),
    ("1Gi", 1024**3),
    ("1G", 10**9),
    ("1e3", 1000),
]


@pytest.mark.parametrize(("text", "value"), QUANTITIES)
def test_quantities(text: str, value: float) -> None:
    assert _limits([container(cpu=text)]) == {"cpu": pytest.approx(value)}


def container(**limits: str) -> V1Container:
    return V1Container(name="c", resources=V1ResourceRequirements(limits=limits or None))


def test_limits_are_summed_over_containers_and_missing_where_one_has_none() -> None:
    assert _limits([container(cpu="500m", memory="1Gi"), container(cpu="1", memory="1Gi")]) == {
        "cpu": 1.5,
        "memory": 2 * 1024**3,
    }
    assert _limits([container(cpu="500m", memory="1Gi"), container(cpu="1")]) == {"cpu": 1.5}
    assert _limits([container()]) == {}
    assert _limits([V1Container(name="c")]) == {}


def deployment(
    replicas: int | None = 4,
    strategy: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    **other: Any,
) -> Deployment:
    """A Deployment as the server sends it, read as the client reads it."""
    count = 1 if replicas is None else replicas
    body: dict[str, Any] = {
        "metadata": {"name": "orchestration", "namespace": "bus", "resourceVersion": "7", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "orchestration"}},
            "strategy": strategy,
            "template": {
                "metadata": {"annotations": other.pop("annotations", None)},
                "spec": {"containers": [{"name": "main", **(container or {})}]},
            },
            **other.pop("spec", {}),
        },
        "status": {
            "replicas": count,
            "readyReplicas": count,
            "updatedReplicas": count,
            "availableReplicas": count,
            "observedGeneration": 3,
            **other.pop("status", {}),
        },
    }
    assert not other
    found: V1Deployment = ApiClient()._ApiClient__deserialize(body, "V1Deployment")  # type: ignore[attr-defined]
    return _deployment(found)


def rolling(unavailable: object, surge: object) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


# replicas, maxUnavailable, maxSurge -> how many pods are taken away, how many are added first
SHARES = [
    (4, "25%", "25%", 1, 1),
    (10, "25%", "25%", 2, 3),
    (3, "25%", "25%", 0, 1),
    (1, "25%", "25%", 0, 1),
    (5, 0, 1, 0, 1),
    (5, "50%", 0, 2, 0),
    (5, 2, "100%", 2, 5),
    (3, None, None, 0, 1),
    # Kubernetes takes one away when both come to nothing, or no rollout would ever move.
    (2, "10%", 0, 1, 0),
]


@pytest.mark.parametrize(("replicas", "unavailable", "surge", "away", "added"), SHARES)
def test_shares_of_replicas(replicas: int, unavailable: object, surge: object, away: int, added: int) -> None:
    found = deployment(replicas, rolling(unavailable, surge))
    assert (found.max_unavailable, found.max_surge) == (away, added)


CAPACITY: list[tuple[str, Deployment, str]] = [
    ("adds first", deployment(4, rolling(0, 1)), ""),
    ("adds as many as it takes", deployment(4, rolling("25%", "25%")), ""),
    ("takes away first", deployment(4, rolling(1, 0)), "takes 1 pods away and adds only 0 first"),
    ("takes one away though it says 10 %", deployment(2, rolling("10%", 0)), "takes 1 pods away"),
    ("takes more than it adds", deployment(10, rolling(5, 1)), "takes 5 pods away and adds only 1 first"),
    ("all at once", deployment(4, {"type": "Recreate"}), "stops all pods before it starts new ones"),
]


@pytest.mark.parametrize(("found", "why"), [row[1:] for row in CAPACITY], ids=[row[0] for row in CAPACITY])
def test_which_rollouts_keep_the_capacity(found: Deployment, why: str) -> None:
    if not why:
        require_capacity(found)
        return
    with pytest.raises(PreconditionFailed, match=why):
        require_capacity(found)


STALLED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}

UNDER_WAY: list[tuple[str, Deployment, str]] = [
    ("none", deployment(4), ""),
    ("none of no pods", deployment(0), ""),
    ("paused", deployment(spec={"paused": True}), "the rollout of orchestration is paused"),
    ("stuck", deployment(status={"conditions": [STALLED]}), "the rollout of orchestration is stuck: timed out"),
    ("not yet seen by its controller", deployment(status={"observedGeneration": 2}), "in the middle of a rollout"),
    ("old pods left", deployment(status={"replicas": 5}), "4 of 4 pods updated, 4 available, 5 in all"),
    ("pods not ready", deployment(status={"availableReplicas": 3}), "in the middle of a rollout"),
    ("no status yet", deployment(status={"replicas": None, "updatedReplicas": None}), "in the middle of a rollout"),
]


@pytest.mark.parametrize(("found", "why"), [row[1:] for row in UNDER_WAY], ids=[row[0] for row in UNDER_WAY])
def test_which_rollouts_are_under_way(found: Deployment, why: str) -> None:
    assert why in under_way(found)
    assert bool(why) is bool(under_way(found))


# replicas, ready, strategy -> healthy pods that a rollout takes away
TAKEN_AWAY: list[tuple[int, int, dict[str, Any], int]] = [
    (4, 4, rolling(1, 0), 1),
    (4, 4, rolling(0, 1), 0),
    (4, 3, rolling(1, 0), 0),  # the sick one is taken first
    (4, 2, rolling(3, 0), 1),
    (4, 4, {"type": "Recreate"}, 4),
    (4, 2, {"type": "Recreate"}, 2),
    (1, 1, rolling("25%", "25%"), 0),
]


@pytest.mark.parametrize(("replicas", "ready", "strategy", "away"), TAKEN_AWAY)
def test_how_many_healthy_pods_a_rollout_takes_away(
    replicas: int, ready: int, strategy: dict[str, Any], away: int
) -> None:
    found = deployment(replicas, strategy, status={"readyReplicas": ready})
    assert _taken_away(found) == away


@pytest.mark.parametrize(
    "stamp", ["soon", "2026-01-01", "2026-01-01T03:00:00", "2026-01-01T03:00:00Z", "2026-01-01T04:00:00+01:00"]
)
def test_anybody_may_write_anything_where_kubectl_stamps_a_restart(stamp: str) -> None:
    found = deployment(annotations={"kubectl.kubernetes.io/restartedAt": stamp})
    assert found.restarted_at is None or found.restarted_at.utcoffset() is not None


# ---- who holds a setting -------------------------------------------------------------------------------------------


CONFIGMAP_REF = {"configMapKeyRef": {"name": "own", "key": "size"}}
SECRET_REF = {"secretKeyRef": {"name": "own", "key": "size"}}


def from_configmap(name: str, prefix: str | None = None) -> dict[str, Any]:
    return {"configMapRef": {"name": name}, "prefix": prefix}


HOLDERS: list[tuple[str, dict[str, Any], tuple[EnvSource, ...]]] = [
    ("nobody", {}, ()),
    ("another variable", {"env": [{"name": "OTHER", "value": "1"}]}, ()),
    ("its own value", {"env": [{"name": "SIZE", "value": "12"}]}, (EnvSource("12"),)),
    ("the last of two", {"env": [{"name": "SIZE", "value": "1"}, {"name": "SIZE", "value": "2"}]}, (EnvSource("2"),)),
    ("a key", {"env": [{"name": "SIZE", "valueFrom": CONFIGMAP_REF}]}, (EnvSource(configmap="own", key="size"),)),
    ("a Secret", {"env": [{"name": "SIZE", "valueFrom": SECRET_REF}]}, (EnvSource(elsewhere=True),)),
    ("a whole ConfigMap", {"envFrom": [from_configmap("a")]}, (EnvSource(configmap="a", key="SIZE"),)),
    (
        "two ConfigMaps, the later one wins",
        {"envFrom": [from_configmap("a"), from_configmap("b")]},
        (EnvSource(configmap="b", key="SIZE"), EnvSource(configmap="a", key="SIZE")),
    ),
    ("a ConfigMap with the prefix", {"envFrom": [from_configmap("a", "SI")]}, (EnvSource(configmap="a", key="ZE"),)),
    ("a ConfigMap with another prefix", {"envFrom": [from_configmap("a", "APP_")]}, ()),
    ("a Secret as a whole", {"envFrom": [{"secretRef": {"name": "a"}}]}, ()),
    (
        "a direct entry before envFrom",
        {"env": [{"name": "SIZE", "value": "12"}], "envFrom": [from_configmap("a")]},
        (EnvSource("12"),),
    ),
]


@pytest.mark.parametrize(("container", "sources"), [row[1:] for row in HOLDERS], ids=[row[0] for row in HOLDERS])
def test_who_holds_a_setting(container: dict[str, Any], sources: tuple[EnvSource, ...]) -> None:
    assert deployment(container=container).env("SIZE") == sources


def test_whole_numbers() -> None:
    assert _whole("SIZE", " 12 ", 10) == 12
    assert _whole("SIZE", None, 10) == 10
    for text in ("", "12.5", "many", "1e3"):
        with pytest.raises(PreconditionFailed, match="not a whole number"):
            _whole("SIZE", text, 10)


# ---- whom a disruption budget covers -------------------------------------------------------------------------------

LABELS = {"app": "orchestration", "tier": "backend"}


def rule(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


SELECTORS: list[tuple[str, dict[str, Any] | None, bool]] = [
    ("none", None, False),
    ("an empty one", {}, True),
    ("a label", {"matchLabels": {"app": "orchestration"}}, True),
    ("two labels", {"matchLabels": LABELS}, True),
    ("another value", {"matchLabels": {"app": "publishers"}}, False),
    ("one of two", {"matchLabels": {"app": "orchestration", "tier": "frontend"}}, False),
    ("one of these", rule("app", "In", "publishers", "orchestration"), True),
    ("none of these", rule("app", "In", "publishers"), False),
    ("of those that are not there", rule("zone", "In", "a"), False),
    ("not these", rule("app", "NotIn", "publishers"), True),
    ("not this", rule("app", "NotIn", "orchestration"), False),
    ("not of those that are not there", rule("zone", "NotIn", "a"), True),
    ("is there", rule("tier", "Exists"), True),
    ("is not there", rule("zone", "Exists"), False),
    ("must not be there", rule("tier", "DoesNotExist"), False),
    ("is not there, as it must not", rule("zone", "DoesNotExist"), True),
    ("both kinds", {"matchLabels": {"app": "orchestration"}, **rule("tier", "In", "frontend")}, False),
]


def read(body: object, kind: str) -> Any:
    """What the server sends, as the client reads it."""
    return ApiClient()._ApiClient__deserialize(body, kind)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("selector", "covers"), [row[1:] for row in SELECTORS], ids=[row[0] for row in SELECTORS])
def test_whom_a_budget_covers(selector: dict[str, Any] | None, covers: bool) -> None:
    assert _selects(read(selector, "V1LabelSelector"), LABELS) is covers


def test_a_budget_that_cannot_be_judged_is_no_budget_that_allows() -> None:
    with pytest.raises(ValueError, match="operator Near"):
        _selects(read(rule("app", "Near", "x"), "V1LabelSelector"), LABELS)


# ---- who owns an object --------------------------------------------------------------------------------------------

OWNERS: list[tuple[str, dict[str, Any], str]] = [
    ("nobody", {}, ""),
    ("nobody, with marks", {"labels": {"app": "x"}, "annotations": {"note": "y"}}, ""),
    ("Argo CD by annotation", {"annotations": {"argocd.argoproj.io/tracking-id": "bus:apps"}}, "Argo CD (bus:apps)"),
    ("Argo CD by label", {"labels": {"argocd.argoproj.io/instance": "bus"}}, "Argo CD (bus)"),
    ("Flux by kustomization", {"labels": {"kustomize.toolkit.fluxcd.io/name": "bus"}}, "Flux (bus)"),
    ("Flux by release", {"labels": {"helm.toolkit.fluxcd.io/name": "bus"}}, "Flux (bus)"),
    ("Helm by release", {"annotations": {"meta.helm.sh/release-name": "bus"}}, "Helm (bus)"),
    ("Helm by label", {"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
    ("Argo CD by what it manages", {"managedFields": [{"manager": "argocd-controller"}]}, "Argo CD"),
    ("a person's fields", {"managedFields": [{"manager": "kubectl-edit"}]}, ""),
    (
        "a controller",
        {
            "ownerReferences": [
                {"apiVersion": "keda.sh/v1", "kind": "ScaledObject", "name": "bus", "uid": "1", "controller": True}
            ]
        },
        "ScaledObject (bus)",
    ),
    ("nobody's child", {"ownerReferences": [{"apiVersion": "v1", "kind": "Bus", "name": "bus", "uid": "1"}]}, ""),
    ("another tool", {"labels": {"app.kubernetes.io/managed-by": "hand"}}, ""),
    (
        "Flux, though Helm installed it",
        {"labels": {"helm.toolkit.fluxcd.io/name": "a"}, "annotations": {"meta.helm.sh/release-name": "b"}},
        "Flux (a)",
    ),
]


@pytest.mark.parametrize(("metadata", "who"), [row[1:] for row in OWNERS], ids=[row[0] for row in OWNERS])
def test_who_would_put_the_old_state_back(metadata: dict[str, Any], who: str) -> None:
    assert owner(read(metadata, "V1ObjectMeta")) == who


# ---- bounds of an autoscaler ---------------------------------------------------------------------------------------

CLUSTER = Cluster("bus", "somewhere")

# minimum and maximum before the claims, the claims -> after
BOUNDS: list[tuple[tuple[int, int], tuple[Claim, ...], tuple[int, int]]] = [
    ((2, 10), (), (2, 10)),
    ((2, 10), (Claim(Bound.AT_LEAST, 5),), (5, 10)),
    ((2, 3), (Claim(Bound.AT_LEAST, 5),), (5, 5)),
    ((6, 10), (Claim(Bound.AT_LEAST, 5),), (6, 10)),
    ((2, 10), (Claim(Bound.AT_MOST, 4),), (2, 4)),
    ((2, 10), (Claim(Bound.AT_MOST, 1),), (1, 1)),
    ((2, 3), (Claim(Bound.AT_MOST, 9),), (2, 3)),
    ((2, 10), (Claim(Bound.AT_LEAST, 5), Claim(Bound.AT_LEAST, 10)), (10, 10)),
    ((2, 10), (Claim(Bound.AT_LEAST, 5), Claim(Bound.AT_MOST, 4)), (4, 4)),
]


@pytest.mark.parametrize(("before", "claims", "after"), BOUNDS)
def test_bounds_that_follow_from_claims(
    before: tuple[int, int], claims: tuple[Claim, ...], after: tuple[int, int]
) -> None:
    levels = {MINIMUM: before[0], MAXIMUM: before[1]}
    settled = AutoscalerBounds(CLUSTER, "orchestration").settle(levels, claims)
    assert (settled[MINIMUM], settled[MAXIMUM]) == after


@pytest.mark.parametrize("knob", [AutoscalerBounds(CLUSTER, "x"), DeploymentReplicas(CLUSTER, "x")])
def test_fewer_pods_may_lose_work_where_nobody_checked_that_they_do_not(knob: Knob) -> None:
    assert (knob.effect(lowers=True), knob.effect(lowers=False)) == (Effect.DISRUPTIVE, Effect.REVERSIBLE)
    assert replace(knob, quiet=True).effect(lowers=True) is Effect.REVERSIBLE  # type: ignore[type-var]


SCALER = Autoscaler("hpa", "1", 2, 10, 2, 2, "orchestration")

KNOBS: list[tuple[str, int, Autoscaler | None, Claim, str]] = [
    ("no autoscaler", 2, None, Claim(Bound.AT_LEAST, 5), "deployment"),
    ("an autoscaler decides", 2, SCALER, Claim(Bound.AT_LEAST, 5), "autoscaler"),
    ("switched off by no replicas", 0, SCALER, Claim(Bound.AT_LEAST, 5), "deployment"),
    ("none at all are wanted", 3, SCALER, Claim(Bound.AT_MOST, 0), "deployment"),
    ("few are wanted", 3, SCALER, Claim(Bound.AT_MOST, 1), "autoscaler"),
]


@pytest.mark.parametrize(
    ("replicas", "scaler", "claim", "kind"), [row[1:] for row in KNOBS], ids=[row[0] for row in KNOBS]
)
def test_who_decides_the_number_of_pods(replicas: int, scaler: Autoscaler | None, claim: Claim, kind: str) -> None:
    assert replica_knob(CLUSTER, "orchestration", replicas, scaler, claim, quiet=False).target.kind == kind


def test_at_least_none_says_nothing() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        replica_knob(CLUSTER, "orchestration", 2, None, Claim(Bound.AT_LEAST, 0), quiet=False)
