"""How many pods, on the practice ground's API server and on the real one. The server's audit log is the judge."""

from __future__ import annotations

from datetime import timedelta

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.claims import Claiming, Releasing
from tasks.model.change import Conflict, PreconditionFailed
from tasks.model.claim import Bound, Claim
from tasks.systems.errors import explain, is_transient
from tasks.systems.kubernetes.scaling import (
    MAXIMUM,
    MINIMUM,
    REPLICAS,
    AutoscalerBounds,
    DeploymentReplicas,
    read_autoscaler,
    replica_knob,
)
from tests.contract.kubernetes import NAME, Site, carried_out, workload
from tests.lab.kubernetes.manifests import autoscaler

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

AT_LEAST, AT_MOST = Bound


def claiming(site: Site, bound: Bound, count: int, account: str = "operator") -> Claiming:
    """At least, or at most, so many pods, by whatever decides that here."""
    cluster, claim = site.cluster(account), Claim(bound, count)
    scaler = read_autoscaler(site.cluster("viewer"), NAME)
    return Claiming(replica_knob(cluster, NAME, site.replicas(), scaler, claim, quiet=True), claim, "later")


# ---- without an autoscaler -----------------------------------------------------------------------------------------


def test_at_least_raises(site: Site) -> None:
    site.create(workload(1))
    change = claiming(site, AT_LEAST, 3)
    assert dict(change.diff().amounts) == {REPLICAS: 3}
    assert carried_out(change) == "1 -> 3"
    assert site.replicas() == 3
    (write,) = site.writes()
    assert (write.verb, write.what, write.code) == ("patch", f"deployments/scale/{NAME}", 200)
    assert write.body["spec"] == {"replicas": 3}
    assert write.body["metadata"]["resourceVersion"], "the server was told what we had read"


@pytest.mark.parametrize(("bound", "count"), [(AT_LEAST, 1), (AT_MOST, 2)])
def test_what_is_already_so_is_not_written(site: Site, bound: Bound, count: int) -> None:
    site.create(workload(2))
    assert carried_out(claiming(site, bound, count)) == "already 2"
    assert (site.replicas(), site.writes()) == (2, [])


def test_at_most_lowers_and_waits_until_the_pods_are_gone(site: Site) -> None:
    site.create(workload(2))
    assert carried_out(claiming(site, AT_MOST, 1)) == "2 -> 1"
    assert site.get("Deployment", NAME)["status"]["replicas"] == 1
    assert len(site.pods()) == 1


# ---- with an autoscaler --------------------------------------------------------------------------------------------

# minimum and maximum before, the change -> minimum and maximum after
BOUNDS: list[tuple[tuple[int, int], Bound, int, tuple[int, int]]] = [
    ((1, 4), AT_LEAST, 2, (2, 4)),
    ((1, 2), AT_LEAST, 3, (3, 3)),
    ((2, 4), AT_MOST, 1, (1, 1)),
    ((1, 4), AT_MOST, 2, (1, 2)),
]


@pytest.mark.parametrize(("before", "bound", "count", "after"), BOUNDS)
def test_bounds_of_the_autoscaler(
    site: Site, before: tuple[int, int], bound: Bound, count: int, after: tuple[int, int]
) -> None:
    site.create(workload(before[0]), autoscaler(NAME, *before))
    carried_out(claiming(site, bound, count))
    assert site.bounds() == after
    assert {write.what for write in site.writes()} == {f"horizontalpodautoscalers/{NAME}"}
    assert after[0] <= site.replicas() <= after[1]


@pytest.mark.parametrize(("bound", "count"), [(AT_LEAST, 2), (AT_MOST, 9)])
def test_bounds_that_are_already_so_are_not_written(site: Site, bound: Bound, count: int) -> None:
    site.create(workload(2), autoscaler(NAME, 2, 4))
    assert carried_out(claiming(site, bound, count)) == "already 2 to 4 replicas"
    assert (site.bounds(), site.writes()) == ((2, 4), [])


def test_no_replicas_switch_the_autoscaler_off_so_the_deployment_is_scaled(site: Site) -> None:
    site.create(workload(0), autoscaler(NAME, 1, 4))
    change = claiming(site, AT_LEAST, 2)
    assert change.diff().note == f"autoscaler {NAME} is switched off by 0 replicas"
    assert carried_out(change) == "0 -> 2"
    assert {write.what for write in site.writes()} == {f"deployments/scale/{NAME}"}


def test_bounds_of_an_autoscaler_that_is_switched_off_are_not_turned(site: Site) -> None:
    site.create(workload(0), autoscaler(NAME, 1, 4))
    with pytest.raises(PreconditionFailed, match="has 0 replicas, which switches its autoscaler off"):
        AutoscalerBounds(site.cluster(), NAME).read()


def test_at_most_none_is_reached_next_to_an_autoscaler(site: Site) -> None:
    """No autoscaler goes below 1, and one bounded to 1 would keep a publisher running for ever."""
    site.create(workload(2), autoscaler(NAME, 1, 4))
    assert carried_out(claiming(site, AT_MOST, 0)) == "2 -> 0"
    assert site.get("Deployment", NAME)["status"].get("replicas", 0) == 0
    assert site.bounds() == (1, 4)


def test_a_source_that_comes_back_next_to_an_autoscaler_may_get_more_than_its_first_pod(site: Site) -> None:
    """The first pod switches the autoscaler on again, which wants its minimum."""
    site.create(workload(2), autoscaler(NAME, 2, 4))
    carried_out(claiming(site, AT_MOST, 0))
    knob = DeploymentReplicas(site.cluster(), NAME, quiet=True)
    dial = knob.read()
    knob.write({"replicas": 1}, dial.version)
    assert "pods ready" in knob.verify({"replicas": 1}, timedelta(seconds=60))
    knob.write({"replicas": 2}, knob.read().version)  # as the autoscaler does at its next sync
    assert "of 2 pods ready" in knob.verify({"replicas": 1}, timedelta(seconds=60))


def test_an_autoscaler_of_another_deployment_is_not_ours(site: Site) -> None:
    other = autoscaler("other", 1, 9)
    site.create(workload(1), other)
    assert read_autoscaler(site.cluster(), NAME) is None
    assert carried_out(claiming(site, AT_LEAST, 2)) == "1 -> 2"
    assert site.bounds("other") == (1, 9)


def test_a_knob_is_built_again_from_its_target_and_field(site: Site) -> None:
    """By a restore, in another process."""
    site.create(workload(2), autoscaler(NAME, 2, 4))
    for change in (claiming(site, AT_LEAST, 3), claiming(site, AT_MOST, 0)):
        again = site.bus().knob(change.target, change.field)
        assert (again.target, again.field) == (change.target, change.field)
        assert again.read().levels == change.knob.read().levels
    with pytest.raises(ValueError, match="nothing that this platform turns"):
        site.bus().knob(claiming(site, AT_MOST, 0).target, "paused")


# ---- giving back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", [False, True], ids=["deployment", "autoscaler"])
@pytest.mark.parametrize("order", [(3, 4), (4, 3)], ids=["high first", "critical first"])
def test_claims_given_back_in_any_order_leave_the_baseline(site: Site, scaler: bool, order: tuple[int, int]) -> None:
    """High 2 -> 3, critical 3 -> 4, one of them done, then the other: 2 again, and never 3 for ever."""
    site.create(workload(2), *([autoscaler(NAME, 2, 3)] if scaler else []))
    baseline = claiming(site, AT_LEAST, 3).knob.read().levels
    for count in (3, 4):
        carried_out(claiming(site, AT_LEAST, count))
    assert site.replicas() == 4
    knob = claiming(site, AT_LEAST, 3).knob
    for remaining in ((Claim(AT_LEAST, order[1]),), ()):
        carried_out(Releasing(knob, knob.read().levels, baseline, remaining, "given back"))
        left = order[1] if remaining else 2
        assert (site.bounds()[0] if scaler else site.replicas()) == left
    assert dict(knob.read().levels) == dict(baseline) == ({MINIMUM: 2, MAXIMUM: 3} if scaler else {REPLICAS: 2})


def test_a_ceiling_is_given_back_up_to_the_baseline(site: Site) -> None:
    site.create(workload(3))
    knob = DeploymentReplicas(site.cluster(), NAME, quiet=True)
    baseline = knob.read().levels
    carried_out(Claiming(knob, Claim(AT_MOST, 1), "later"))
    for step in (2, 3):
        carried_out(Releasing(knob, knob.read().levels, baseline, (Claim(AT_MOST, step),), "given back"))
        assert site.replicas() == step
    assert carried_out(Releasing(knob, knob.read().levels, baseline, (), "given back")) == "already 3"


# ---- others at work, and accounts that may not ---------------------------------------------------------------------


@pytest.mark.parametrize("scaler", [False, True], ids=["deployment", "autoscaler"])
def test_a_change_in_between_is_a_conflict_and_reading_again_converges(site: Site, scaler: bool) -> None:
    site.create(workload(1), *([autoscaler(NAME, 1, 4)] if scaler else []))
    change = claiming(site, AT_LEAST, 2)
    diff = change.diff()
    kind = "HorizontalPodAutoscaler" if scaler else "Deployment"
    site.patch(kind, NAME, {"metadata": {"annotations": {"somebody": "else"}}})
    with pytest.raises(Conflict):
        change.apply(diff)
    assert [write.code for write in site.writes()] == [409]
    carried_out(change)
    assert site.replicas() == 2


def test_somebody_who_scaled_further_meanwhile_keeps_that(site: Site) -> None:
    site.create(workload(1))
    change = claiming(site, AT_LEAST, 2)
    diff = change.diff()
    site.patch("Deployment", NAME, {"spec": {"replicas": 4}})
    with pytest.raises(Conflict):
        change.apply(diff)
    assert carried_out(change) == "already 4"
    assert site.replicas() == 4


def test_a_read_only_account_sees_everything_and_is_refused_for_good(site: Site) -> None:
    site.create(workload(1))
    change = claiming(site, AT_LEAST, 2, account="viewer")
    diff = change.diff()
    with pytest.raises(ApiException) as error:
        change.apply(diff)
    assert not is_transient(error.value)
    assert explain(error.value).startswith('Kubernetes forbids it (403): deployments.apps "orchestration" is forbidden')
    assert 'User "viewer" cannot patch resource "deployments/scale"' in explain(error.value)
    assert site.replicas() == 1


def test_an_unknown_account_is_told_what_to_do(site: Site) -> None:
    site.create(workload(1))
    with pytest.raises(ApiException) as error:
        claiming(site, AT_LEAST, 2, account="stranger").diff()
    assert not is_transient(error.value)
    assert explain(error.value) == "Kubernetes does not know this account (401): renew the token in the kubeconfig"


def test_a_missing_deployment_is_a_hard_error(site: Site) -> None:
    site.create(workload(1))
    with pytest.raises(ApiException) as error:
        DeploymentReplicas(site.cluster(), "event-publisher").read()
    assert not is_transient(error.value)
    assert explain(error.value) == 'Kubernetes answered 404: deployments.apps "event-publisher" not found'
