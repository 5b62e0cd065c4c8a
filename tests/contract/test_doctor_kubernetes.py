"""What the doctor sees of a cluster, on the practice ground's API server and on the real one; and that the permissions
which it asks for are those that probes and changes use."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.client.rest import RESTClientObject

from deployments.doctor import clocks, permissions, trust
from deployments.doctor import cluster as kubernetes
from flows.catalogue import RUNBOOKS
from flows.message_bus import changes, probes
from flows.message_bus.platform import MessageBus
from lab.kubernetes.apiserver.request_info import RequestInfo
from tasks.model.claim import Bound, Claim
from tasks.systems.kubernetes.permissions import ROLE, Permission
from tests.contract.kubernetes import KEY, NAME, Site, carried_out, floor, restart, settings, workload
from tests.lab.kubernetes.clusters import Cluster
from tests.lab.kubernetes.manifests import autoscaler, create_namespace, deployment
from tests.unit.test_doctor_installation import kinds

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

FROM_CONFIGMAP = [{"name": KEY, "valueFrom": {"configMapKeyRef": {"name": "orchestration-config", "key": KEY}}}]
PUBLISHERS = ("event-publishers", "analytics-publisher", "background-job-publisher")
NEVER = {"delete pods", "create deployments.apps", "get secrets", "delete deployments.apps"}


def everything(site: Site) -> MessageBus:
    """The whole platform, as far as Kubernetes has it."""
    publishers = [deployment(name, 1) for name in PUBLISHERS]
    site.create(settings(**{KEY: "10"}), workload(1, env=FROM_CONFIGMAP), autoscaler(NAME, 1, 4), *publishers)
    return site.bus()


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[Permission]:
    """What every request to the API server asks for, from here on."""
    found: set[Permission] = set()
    send: Any = RESTClientObject.request

    def noted(rest: Any, method: str, url: str, *others: Any, **more: Any) -> Any:
        info = RequestInfo.parse(method, urlsplit(url).path, {})  # nothing here watches
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        found.add(Permission(f"{info.group}/{info.version}" if info.group else info.version, resource, info.verb))
        return send(rest, method, url, *others, **more)

    monkeypatch.setattr(RESTClientObject, "request", noted)
    return found


# ---- permissions ---------------------------------------------------------------------------------------------------


def test_the_permissions_are_what_probes_and_changes_use(site: Site, used: set[Permission]) -> None:
    """All of it, and nothing else: a call that is added needs its permission next to it."""
    bus = everything(site)
    for runbook in RUNBOOKS.values():
        for probe in runbook.probes(bus):
            with contextlib.suppress(Exception):  # these pods export nothing, and there is no Redis
                probe.read()
    bus.owners()
    pods = probes.replicas(bus, NAME).read().value
    publishers = probes.replicas(bus, "event-publishers").read().value
    for change in (
        changes.replicas(bus, pods, NAME, Claim(Bound.AT_LEAST, 2), "later"),  # by its autoscaler
        changes.replicas(bus, publishers, "event-publishers", Claim(Bound.AT_LEAST, 2), "later"),
        floor(site, 15),
        restart(site, datetime.now(UTC)),
    ):
        carried_out(change)
    assert used == bus.permissions()


def test_the_operator_has_all_permissions_and_the_viewer_may_not_write(site: Site) -> None:
    asked = site.bus().permissions()
    all_of_them = permissions.read(site.cluster("operator"), asked)
    reads_only = permissions.read(site.cluster("viewer"), asked)
    assert kinds(permissions.judge("here", site.cluster("operator"), all_of_them, acts=True)) == set()
    assert kinds(permissions.judge("here", site.cluster("operator"), reads_only, acts=True)) == {"may-not-write"}
    assert kinds(permissions.judge("here", site.cluster("operator"), reads_only, acts=False)) == {"may-not-write-yet"}
    assert {permission for permission, has in reads_only.items() if not has} == {p for p in asked if p.writes}


def test_nothing_may_be_read_in_a_namespace_that_is_not_ours(site: Site) -> None:
    bus = site.bus().model_copy(update={"context": "stranger", "kubeconfig": str(site.server.kubeconfig("stranger"))})
    found = kubernetes.read(bus.cluster())
    assert "401" in found.trouble
    assert kinds(kubernetes.judge("here", bus, found)) == {"kubernetes-unreachable"}


@pytest.mark.real_kubernetes
def test_the_role_grants_exactly_what_is_asked_for(real_kubernetes: Cluster) -> None:
    """By the judgement of the real API server's RBAC, for a user who has nothing else."""
    namespace, user = "doctor-role", "runbooks-of-nobody"
    create_namespace(real_kubernetes, namespace)
    bus = MessageBus(namespace=namespace)

    def may(permission: str, where: str = namespace) -> bool:
        verb, _, resource = permission.partition(" ")
        resource, _, subresource = resource.partition("/")
        subresource, _, group = subresource.partition(".")
        words = ["auth", "can-i", verb, f"{resource}.{group}" if group else resource, "-n", where, "--as", user]
        return (
            real_kubernetes.kubectl(*words, *([f"--subresource={subresource}"] if subresource else [])).returncode == 0
        )

    everything = {str(permission) for permission in bus.permissions()}
    assert not any(may(permission) for permission in everything)
    done = real_kubernetes.kubectl("apply", "-f", "-", stdin=permissions.role_yaml(bus, user))
    assert done.returncode == 0, done.stderr
    assert f"{ROLE} created" in done.stdout
    assert {permission for permission in everything if may(permission)} == everything
    assert not any(may(permission) for permission in NEVER)
    assert not any(may(permission, "default") for permission in everything)


# ---- what is served, clocks, owners --------------------------------------------------------------------------------


def test_the_apis_that_are_served(site: Site) -> None:
    """Kubernetes 1.20, which the tests have, is one version too old for disruption budgets of policy/v1."""
    found = kubernetes.judge("here", site.bus(), kubernetes.read(site.cluster()))
    assert kinds(found) == ({"api-not-served"} if site.server.is_real else set())


def test_an_api_server_that_is_not_there(tmp_path: Any) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("""{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c,
        user: u}}], clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {}}]}""")
    bus = MessageBus(namespace="bus", context="c", kubeconfig=str(file))
    assert kinds(kubernetes.judge("here", bus, kubernetes.read(bus.cluster()))) == {"kubernetes-unreachable"}
    other = bus.model_copy(update={"context": "another"})
    assert "another" in kubernetes.read(other.cluster()).trouble


def test_the_clock_of_the_api_server(site: Site) -> None:
    assert kinds(clocks.judge("Kubernetes", clocks.of_kubernetes(site.cluster()))) == set()


def test_what_helm_owns_is_found(site: Site) -> None:
    bus = everything(site)
    assert kinds(trust.judge_owners("here", bus, bus.owners())) == set()
    site.patch("Deployment", "analytics-publisher", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}})
    (found,) = trust.judge_owners("here", bus, bus.owners())
    assert (found.kind, found.looked_at) == ("target-owned", "owner of deployment analytics-publisher")
