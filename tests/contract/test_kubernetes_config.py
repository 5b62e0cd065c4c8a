"""Settings and restarts, on the practice ground's API server and on the real one. The audit log is the judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.claims import Releasing
from tasks.model.change import Conflict, Effect, Happened, NotInEffect, PreconditionFailed
from tasks.model.claim import Bound, Claim
from tasks.model.target import Target
from tasks.systems.errors import explain, is_transient
from tasks.systems.kubernetes.config import read_setting
from tests.contract.kubernetes import (
    CONFIGMAP,
    DEFAULT,
    KEY,
    NAME,
    SICK,
    SOON,
    Site,
    carried_out,
    data,
    floor,
    knob,
    restart,
    settings,
    uids,
    workload,
)

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]


# ---- a setting in a ConfigMap --------------------------------------------------------------------------------------


def test_a_floor_raises_its_key_and_nothing_else(site: Site) -> None:
    site.create(settings(**{KEY: "10", "OTHER": "x"}), workload(1, sources=[CONFIGMAP]))
    pods = uids(site)
    assert carried_out(floor(site, 15)) == "10 -> 15"
    assert data(site) == {KEY: "15", "OTHER": "x"}
    (write,) = site.writes()
    assert (write.verb, write.what, write.code) == ("patch", f"configmaps/{CONFIGMAP}", 200)
    assert write.body["data"] == {KEY: "15"}
    assert uids(site) == pods, "a ConfigMap is read at the next start of a pod"


@pytest.mark.parametrize("value", ["15", "20"])
def test_a_floor_never_lowers(site: Site, value: str) -> None:
    site.create(settings(**{KEY: value}), workload(0, sources=[CONFIGMAP]))
    assert carried_out(floor(site, 15)) == f"already {value}"
    assert (data(site), site.writes()) == ({KEY: value}, [])


def test_a_key_that_is_not_there_has_the_default(site: Site) -> None:
    site.create(settings(OTHER="x"), workload(0, sources=[CONFIGMAP]))
    assert carried_out(floor(site, 15)) == "10 -> 15"
    assert data(site) == {KEY: "15", "OTHER": "x"}


def test_the_configmap_that_has_the_key_holds_it_and_not_the_last_one(site: Site) -> None:
    """Writing 15 into the later one would win over the 20 of the earlier one, and lower it."""
    site.create(
        settings("first", **{KEY: "20"}), settings("second", OTHER="x"), workload(0, sources=["first", "second"])
    )
    assert floor(site, 15).target == Target("configmap", site.namespace, "first")
    assert carried_out(floor(site, 15)) == "already 20"
    assert carried_out(floor(site, 25)) == "20 -> 25"
    assert (data(site, "first"), data(site, "second")) == ({KEY: "25"}, {"OTHER": "x"})


def test_a_single_key_under_another_name(site: Site) -> None:
    source = {"name": KEY, "valueFrom": {"configMapKeyRef": {"name": CONFIGMAP, "key": "pool"}}}
    site.create(settings(pool="10", **{KEY: "99"}), workload(0, env=[source]))
    assert carried_out(floor(site, 15)) == "10 -> 15"
    assert data(site) == {"pool": "15", KEY: "99"}


def test_somebody_who_edits_meanwhile_is_read_again(site: Site) -> None:
    site.create(settings(**{KEY: "10"}), workload(0, sources=[CONFIGMAP]))
    change = floor(site, 15)
    diff = change.diff()
    site.patch("ConfigMap", CONFIGMAP, {"data": {KEY: "18"}})
    with pytest.raises(Conflict):
        change.apply(diff)
    assert carried_out(change) == "already 18"
    assert [write.code for write in site.writes()] == [409]


def test_a_holder_that_changed_meanwhile_is_not_written(site: Site) -> None:
    site.create(settings(**{KEY: "10"}), workload(0, sources=[CONFIGMAP]))
    change = floor(site, 15)
    container = {
        "name": "c",
        "image": "local/program:1",
        "command": ["sleep", "1000"],
        "env": [{"name": KEY, "value": "3"}],
    }
    site.patch("Deployment", NAME, {"spec": {"template": {"spec": {"containers": [container]}}}})
    with pytest.raises(PreconditionFailed, match=f"{KEY} is now held by deployment"):
        change.diff()


def test_a_value_that_is_no_whole_number_is_left_alone(site: Site) -> None:
    site.create(settings(**{KEY: "ten"}), workload(0, sources=[CONFIGMAP]))
    with pytest.raises(PreconditionFailed, match="not a whole number"):
        read_setting(site.cluster(), NAME, KEY, DEFAULT)


def test_a_setting_that_nobody_reads_is_not_made_up(site: Site) -> None:
    site.create(settings(**{KEY: "10"}), workload(0))
    with pytest.raises(PreconditionFailed, match="nothing would read it"):
        read_setting(site.cluster(), NAME, KEY, DEFAULT)


def test_a_setting_from_a_secret_cannot_be_told(site: Site) -> None:
    source = {"name": KEY, "valueFrom": {"secretKeyRef": {"name": "own", "key": "pool"}}}
    site.create(workload(0, env=[source]))
    with pytest.raises(PreconditionFailed, match="comes from a Secret"):
        read_setting(site.cluster(), NAME, KEY, DEFAULT)


def test_a_missing_configmap_is_said(site: Site) -> None:
    site.create(workload(0, sources=["gone"]))
    with pytest.raises(ApiException) as error:
        read_setting(site.cluster(), NAME, KEY, DEFAULT)
    assert explain(error.value) == 'Kubernetes answered 404: configmaps "gone" not found'


def test_a_read_only_account_is_refused_for_good(site: Site) -> None:
    site.create(settings(**{KEY: "10"}), workload(0, sources=[CONFIGMAP]))
    change = floor(site, 15, account="viewer")
    with pytest.raises(ApiException) as error:
        change.apply(change.diff())
    assert not is_transient(error.value)
    assert "cannot patch resource" in explain(error.value)
    assert data(site) == {KEY: "10"}


# ---- a setting of the Deployment itself ----------------------------------------------------------------------------


def test_an_entry_of_the_deployment_is_raised_with_its_own_rollout(site: Site) -> None:
    env = [{"name": KEY, "value": "10"}, {"name": "COLOR", "value": "blue"}]
    site.create(settings(**{KEY: "99"}), workload(1, env=env, sources=[CONFIGMAP]))
    pods = uids(site)
    change = floor(site, 15)
    assert (knob(site).holder.kind, knob(site).rolls_out, change.effect) == ("deployment", True, Effect.DISRUPTIVE)
    assert carried_out(change) == "10 -> 15"
    (container,) = site.get("Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    assert sorted((entry["name"], entry["value"]) for entry in container["env"]) == [("COLOR", "blue"), (KEY, "15")]
    assert not uids(site) & pods, "every pod is a new one"
    assert data(site) == {KEY: "99"}
    assert [write.what for write in site.writes()] == [f"deployments/{NAME}"]


# ---- restarts ------------------------------------------------------------------------------------------------------


def test_a_restart_replaces_the_pods_once_for_the_same_reason(site: Site) -> None:
    site.create(workload(2))
    pods = uids(site)
    since = datetime.now(UTC)
    change = restart(site, since)
    assert carried_out(change).endswith("-> new pods")
    new = uids(site)
    assert len(new) == 2
    assert not new & pods
    assert not restart(site, since).diff().needed, "after a crash, say, the same restart is asked for again"
    assert uids(site) == new
    assert [(write.verb, write.what) for write in site.writes()] == [("patch", f"deployments/{NAME}")]


def test_a_restart_is_known_within_the_second_in_which_it_was_decided(site: Site) -> None:
    site.create(workload(1))
    for _ in range(3):
        since = datetime.now(UTC)
        change = restart(site, since)
        change.apply(change.diff())
        assert not change.diff().needed
        change.verify(SOON)


def test_a_later_reason_is_another_restart(site: Site) -> None:
    site.create(workload(1))
    carried_out(restart(site, datetime.now(UTC)))
    assert restart(site, datetime.now(UTC) + timedelta(seconds=1)).diff().needed


def test_a_restart_by_kubectl_counts(site: Site) -> None:
    site.create(workload(1))
    since = datetime.now(UTC) - timedelta(seconds=5)
    done = site.server.kubectl("-n", site.namespace, "rollout", "restart", f"deployment/{NAME}")
    assert done.returncode == 0, done.stderr
    assert not restart(site, since).diff().needed
    assert site.writes() == []


def test_a_deployment_that_changed_meanwhile_is_a_conflict(site: Site) -> None:
    site.create(workload(1))
    change = restart(site, datetime.now(UTC))
    diff = change.diff()
    site.patch("Deployment", NAME, {"metadata": {"annotations": {"somebody": "else"}}})
    with pytest.raises(Conflict):
        change.apply(diff)


def test_a_rollout_that_does_not_come_is_said_with_what_is_missing(site: Site) -> None:
    site.create(workload(1))
    container = {"name": "c", "image": "local/program:1", "command": ["sleep", "1000"], "readinessProbe": SICK}
    change = restart(site, datetime.now(UTC))
    change.apply(change.diff())
    site.patch("Deployment", NAME, {"spec": {"template": {"spec": {"containers": [container]}}}})
    with pytest.raises(NotInEffect, match="is not done after"):
        change.verify(timedelta(seconds=2))


UNSAFE: list[tuple[dict[str, Any], str]] = [
    ({"strategy": {"type": "Recreate"}}, "stops all pods before it starts new ones"),
    ({"strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}}, "takes 1 pods away and adds only 0 first"),
]


@pytest.mark.parametrize(("spec", "why"), UNSAFE)
def test_no_restart_that_loses_capacity(site: Site, spec: dict[str, Any], why: str) -> None:
    site.create(workload(0, **spec))
    with pytest.raises(PreconditionFailed, match=why):
        restart(site, datetime.now(UTC)).diff()


def test_a_setting_whose_change_would_lose_capacity_is_refused_too(site: Site) -> None:
    env = [{"name": KEY, "value": "10"}]
    site.create(workload(0, env=env, strategy={"type": "Recreate"}))
    with pytest.raises(PreconditionFailed, match="stops all pods"):
        floor(site, 15).diff()


# ---- whether it happened -------------------------------------------------------------------------------------------


def test_whether_a_restart_has_happened_is_told_by_its_stamp(site: Site) -> None:
    """A run that was killed after it had sent the restart, and the one that is started instead: its reason is later."""
    site.create(workload(1))
    intended = datetime.now(UTC)
    assert restart(site, intended).happened(intended) is Happened.NO
    killed = restart(site, intended)
    killed.apply(killed.diff())
    later = restart(site, datetime.now(UTC) + timedelta(seconds=1))
    assert later.happened(intended) is Happened.YES
    assert restart(site, intended).happened(intended + timedelta(hours=1)) is Happened.YES, "by our own stamp too"
    assert later.happened(datetime.now(UTC) + timedelta(hours=1)) is Happened.NO


# ---- giving back ---------------------------------------------------------------------------------------------------


def test_a_floor_in_a_configmap_is_given_back(site: Site) -> None:
    site.create(settings(**{KEY: "10", "OTHER": "x"}), workload(0, sources=[CONFIGMAP]))
    before = knob(site).read().levels
    carried_out(floor(site, 15))
    carried_out(floor(site, 20))
    claims = (Claim(Bound.AT_LEAST, 15),)
    assert carried_out(Releasing(knob(site), knob(site).read().levels, before, claims, "given back")) == "20 -> 15"
    assert carried_out(Releasing(knob(site), knob(site).read().levels, before, (), "given back")) == "15 -> 10"
    assert data(site) == {KEY: "10", "OTHER": "x"}


def test_a_number_that_was_not_there_is_given_back_as_what_pods_took(site: Site) -> None:
    site.create(settings(OTHER="x"), workload(0, sources=[CONFIGMAP]))
    before = knob(site).read().levels
    carried_out(floor(site, 15))
    carried_out(Releasing(knob(site), knob(site).read().levels, before, (), "given back"))
    assert data(site) == {KEY: str(DEFAULT), "OTHER": "x"}
