"""The audit log: the same record for the same request, whichever server wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.kubernetes.clusters import Cluster, eventually
from tests.lab.kubernetes.manifests import await_pods, config_map, create, deployment

JSON = "application/json"
MERGE = "application/merge-patch+json"
DEPLOYMENT = "/apis/apps/v1/namespaces/NS/deployments/web"


def records(cluster: Cluster, since: int, user_agent: str = "conformance/1") -> list[dict[str, Any]]:
    return [each for each in cluster.audit(since) if each["userAgent"] == user_agent]


@dataclass(frozen=True)
class Case:
    """A request in namespace NS (about the pod POD), and what its record must say."""

    method: str
    path: str
    body: Any
    verb: str
    resource: str
    name: str
    code: int
    subresource: str = ""
    user: str = "operator"


EVICTION = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "POD"}}
CORE = "/api/v1/namespaces/NS"
TWO = {"spec": {"replicas": 2}}
CASES = [
    Case("PATCH", f"{DEPLOYMENT}/scale", TWO, "patch", "deployments", "web", 200, "scale"),
    Case("PATCH", DEPLOYMENT, TWO, "patch", "deployments", "web", 200),
    Case("PATCH", DEPLOYMENT, {"spec": {"replicas": -2}}, "patch", "deployments", "web", 422),
    Case("PATCH", DEPLOYMENT, {"metadata": {"resourceVersion": "1"}}, "patch", "deployments", "web", 409),
    Case("PATCH", DEPLOYMENT.replace("web", "nope"), TWO, "patch", "deployments", "nope", 404),
    Case("PATCH", DEPLOYMENT, TWO, "patch", "deployments", "web", 403, user="viewer"),
    Case("PATCH", f"{CORE}/configmaps/cfg", {"data": {"a": "2"}}, "patch", "configmaps", "cfg", 200),
    Case("DELETE", f"{CORE}/pods/POD", None, "delete", "pods", "POD", 200),
    Case("POST", f"{CORE}/pods/POD/eviction", EVICTION, "create", "pods", "POD", 201, "eviction"),
    Case("POST", f"{CORE}/configmaps", config_map("new", a="1"), "create", "configmaps", "new", 201, user="admin"),
    Case("DELETE", f"{CORE}/configmaps", None, "deletecollection", "configmaps", "", 200, user="admin"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{each.verb} {each.resource} {each.code}" for each in CASES])
def test_record(cluster: Cluster, namespace: str, case: Case) -> None:
    create(cluster, namespace, deployment("web"), config_map("cfg", a="1"))
    pod = await_pods(cluster, namespace, "app=web", 1)[0]["metadata"]["name"] if "POD" in case.path else ""

    def here(text: str) -> str:
        return text.replace("NS", namespace).replace("POD", pod)

    body = {**case.body, "metadata": {"name": pod}} if case.body and pod else case.body
    since = cluster.audit_log.stat().st_size
    cluster.request(case.method, here(case.path), body, case.user, MERGE if case.method == "PATCH" else JSON)
    found = eventually(lambda: records(cluster, since))
    assert len(found) == 1
    record = found[0]
    assert (record["kind"], record["apiVersion"], record["level"]) == ("Event", "audit.k8s.io/v1", "Request")
    assert (record["stage"], record["verb"], record["responseStatus"]["code"]) == (
        "ResponseComplete",
        case.verb,
        case.code,
    )
    assert record["user"]["username"] == {"operator": "runbooks"}.get(case.user, case.user)
    expected = {
        "resource": case.resource,
        "subresource": case.subresource,
        "namespace": namespace,
        "name": here(case.name),
        "apiGroup": "apps" if case.resource == "deployments" else "",
        "apiVersion": "v1",
    }
    reference = {name: value for name, value in record["objectRef"].items() if name not in ("uid", "resourceVersion")}
    assert reference == {name: value for name, value in expected.items() if value}
    assert record["requestReceivedTimestamp"] <= record["stageTimestamp"]
    allowed = case.code != 403
    assert record["annotations"]["authorization.k8s.io/decision"] == ("allow" if allowed else "forbid")
    if case.method == "PATCH":
        assert record.get("requestObject") == (body if allowed else None)


def test_a_stranger_is_recorded_too(cluster: Cluster, namespace: str) -> None:
    since = cluster.audit_log.stat().st_size
    cluster.request("PATCH", DEPLOYMENT.replace("NS", namespace), TWO, "stranger", MERGE)
    record = eventually(lambda: records(cluster, since))[0]
    assert (record["stage"], record["responseStatus"]["code"]) == ("ResponseStarted", 401)
    assert record["user"] == {}
    assert record["objectRef"]["name"] == "web"


def test_reading_and_asking_leave_no_record(cluster: Cluster, namespace: str) -> None:
    since = cluster.audit_log.stat().st_size
    cluster.request("GET", "/api/v1/nodes")
    question = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": namespace}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    cluster.request("POST", path, question)
    cluster.request("DELETE", "/api/v1/namespaces/default/configmaps/none")
    found = eventually(lambda: records(cluster, since))
    assert [each["verb"] for each in found] == ["delete"]


def test_components_write_under_names_of_the_system(cluster: Cluster, namespace: str) -> None:
    since = cluster.audit_log.stat().st_size
    create(cluster, namespace, deployment("web", 2))
    await_pods(cluster, namespace, "app=web", 2)
    here = [each for each in cluster.audit(since) if each["objectRef"].get("namespace") == namespace]
    people = [each for each in here if not each["user"]["username"].startswith("system:")]
    assert [(each["verb"], each["objectRef"]["resource"]) for each in people] == [("create", "deployments")]
    assert {"replicasets", "pods"} <= {each["objectRef"]["resource"] for each in here if each not in people}
