"""What is the case around a workload, on the practice ground's API server and on the real one: rollouts, disruption
budgets, owners. And that the guards, with all of it, let a run do what is right and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from tasks.claims import Claiming
from tasks.model.change import Diff, Surroundings
from tasks.model.claim import Bound, Claim
from tasks.model.knob import Knob
from tasks.model.target import Target
from tasks.systems.kubernetes.config import CONFIGMAP as CONFIGMAP_KIND
from tasks.systems.kubernetes.config import Restart
from tasks.systems.kubernetes.scaling import AutoscalerBounds, DeploymentReplicas
from tasks.systems.kubernetes.surroundings import disruptions_allowed
from tests.contract.kubernetes import CONFIGMAP, KEY, NAME, SICK, Site, settings, workload
from tests.lab.kubernetes.manifests import autoscaler
from tests.waiting import wait_for

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

LABELS = {"app": NAME}


def restart(site: Site) -> Diff:
    return Restart(site.cluster(), NAME, "to read the setting", datetime.now(UTC)).diff()


# ---- pods and rollouts ---------------------------------------------------------------------------------------------


def test_a_workload_at_rest(site: Site) -> None:
    site.create(workload(2))
    found = restart(site).around
    assert found == Surroundings(healthy=2, wanted=2, takes_away=0, rollout="", budget=None, owner="")
    assert DeploymentReplicas(site.cluster(), NAME).read().around == found


def test_what_a_rollout_would_take_away(site: Site) -> None:
    site.create(workload(2, strategy={"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}))
    assert restart(site).around.takes_away == 1
    assert DeploymentReplicas(site.cluster(), NAME).read().around.takes_away == 0, "scaling replaces no pods"


def test_a_rollout_under_way(site: Site) -> None:
    document = workload(2)
    document["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = SICK
    site.create(document, settled=False)
    wait_for("two pods", lambda: len(site.pods()) == 2)
    found = restart(site).around
    assert (found.healthy, found.wanted) == (0, 2)
    assert found.rollout.startswith(f"{NAME} is in the middle of a rollout: ")


def test_a_paused_rollout(site: Site) -> None:
    site.create(workload(1))
    site.patch("Deployment", NAME, {"spec": {"paused": True}})
    assert restart(site).around.rollout == f"the rollout of {NAME} is paused"


def test_a_stuck_rollout(site: Site) -> None:
    document = workload(1, progressDeadlineSeconds=1)
    document["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = SICK
    site.create(document, settled=False)
    stuck = f"the rollout of {NAME} is stuck: "
    wait_for("stuck", lambda: restart(site).around.rollout.startswith(stuck), 30)


# ---- disruption budgets --------------------------------------------------------------------------------------------


def budget(site: Site, name: str, labels: dict[str, str], stay: int) -> None:
    """A budget that wants so many of the pods with these labels to stay, when it has counted them."""
    version = "v1beta1" if site.server.is_real else "v1"
    path = f"/apis/policy/{version}/namespaces/{site.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": stay, "selector": {"matchLabels": labels}}
    body = {
        "apiVersion": f"policy/{version}",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": spec,
    }
    answer = site.server.request("POST", path, body)
    assert answer.is_success, answer.text

    def counted() -> bool:
        found = site.server.request("GET", f"{path}/{name}").json()
        return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

    wait_for("the budget counted", counted)


@pytest.mark.parametrize(("stay", "allowed"), [(1, 1), (2, 0), (3, 0)])
def test_what_a_budget_allows(site: Site, stay: int, allowed: int) -> None:
    site.create(workload(2))
    budget(site, NAME, LABELS, stay)
    if site.server.is_real:  # Kubernetes 1.20 has budgets in policy/v1beta1 only, which every newer one dropped
        assert disruptions_allowed(site.cluster(), LABELS) is None
        return
    wait_for("as many", lambda: disruptions_allowed(site.cluster(), LABELS) == allowed)
    assert restart(site).around.budget == allowed
    assert DeploymentReplicas(site.cluster(), NAME).read().around.budget is None, "scaling evicts no pods"


def test_the_strictest_budget_counts_and_others_do_not(site: Site) -> None:
    site.create(workload(2))
    if site.server.is_real:
        assert disruptions_allowed(site.cluster(), LABELS) is None
        return
    assert disruptions_allowed(site.cluster(), LABELS) is None
    budget(site, "other", {"app": "other"}, 5)
    assert disruptions_allowed(site.cluster(), LABELS) is None
    budget(site, "loose", LABELS, 1)
    wait_for("one", lambda: disruptions_allowed(site.cluster(), LABELS) == 1)
    budget(site, "strict", LABELS, 2)
    wait_for("none", lambda: disruptions_allowed(site.cluster(), LABELS) == 0)


def test_budgets_that_may_not_be_read_are_not_taken_for_none(site: Site) -> None:
    site.create(workload(1))
    with pytest.raises(ApiException) as error:
        disruptions_allowed(site.cluster("stranger"), LABELS)
    assert error.value.status == 401


# ---- owners --------------------------------------------------------------------------------------------------------

MARKS: list[tuple[str, dict[str, Any], str]] = [
    ("Argo CD", {"annotations": {"argocd.argoproj.io/tracking-id": "bus:apps"}}, "Argo CD (bus:apps)"),
    ("Argo CD by label", {"labels": {"argocd.argoproj.io/instance": "bus"}}, "Argo CD (bus)"),
    ("Flux", {"labels": {"kustomize.toolkit.fluxcd.io/name": "bus"}}, "Flux (bus)"),
    ("Helm", {"annotations": {"meta.helm.sh/release-name": "bus"}}, "Helm (bus)"),
]


@pytest.mark.parametrize(("metadata", "owner"), [row[1:] for row in MARKS], ids=[row[0] for row in MARKS])
def test_each_object_says_who_owns_it(site: Site, metadata: dict[str, Any], owner: str) -> None:
    """The autoscaler or the ConfigMap may be owned where the Deployment is not, and the other way round."""
    site.create(settings(**{KEY: "10"}), workload(1, sources=[CONFIGMAP]), autoscaler(NAME, 1, 4))
    knobs: dict[tuple[str, str], Knob] = {
        ("Deployment", NAME): DeploymentReplicas(site.cluster(), NAME),
        ("HorizontalPodAutoscaler", NAME): AutoscalerBounds(site.cluster(), NAME),
        ("ConfigMap", CONFIGMAP): site.bus().pool_size_knob(Target(CONFIGMAP_KIND, site.namespace, CONFIGMAP)),
    }
    none = {part: dict.fromkeys(marks) for part, marks in metadata.items()}
    for marked in knobs:
        site.patch(*marked, {"metadata": metadata})
        owners = {where: knob.read().around.owner for where, knob in knobs.items()}
        assert owners == {where: owner if where == marked else "" for where in knobs}
        site.patch(*marked, {"metadata": none})


def test_an_entry_of_an_owned_deployment_is_owned(site: Site) -> None:
    document = workload(1, env=[{"name": KEY, "value": "10"}])
    document["metadata"]["annotations"] = {"meta.helm.sh/release-name": "bus"}
    site.create(document)
    knob = site.bus().pool_size_knob(Target("deployment", site.namespace, NAME))
    assert Claiming(knob, Claim(Bound.AT_LEAST, 15), "later").diff().around.owner == "Helm (bus)"


def test_nobody_owns_a_restart(site: Site) -> None:
    """It sets nothing that anybody would put back."""
    document = workload(1)
    document["metadata"]["annotations"] = {"meta.helm.sh/release-name": "bus"}
    site.create(document)
    assert restart(site).around.owner == ""
