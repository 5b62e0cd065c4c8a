"""What a program does: the Python client and bare requests, on the lab's cluster and on a real one."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from kubernetes import watch
from kubernetes.client import ApiException

from tests.lab.kubernetes.clusters import Cluster, eventually
from tests.lab.kubernetes.manifests import (
    BURN,
    autoscaler,
    await_pods,
    await_rollout,
    config_map,
    create,
    deployment,
    get,
    get_all,
    path_of,
    serving,
)

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


def test_a_rollout_by_the_python_client(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 1))
    apps, core = cluster.api("AppsV1Api", "operator"), cluster.api("CoreV1Api", "operator")
    assert apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}}).spec.replicas == 2
    change = {
        "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "SIZE", "value": "big"}]}]}}}
    }
    changed = apps.patch_namespaced_deployment("web", namespace, change)
    assert {each.name for each in changed.spec.template.spec.containers[0].env} == {"COLOR", "SIZE"}
    assert changed.metadata.generation == 3

    def is_rolled_out() -> bool:
        live = apps.read_namespaced_deployment("web", namespace)
        status = live.status
        counts = (status.updated_replicas, status.replicas, status.available_replicas)
        return (status.observed_generation or 0) >= live.metadata.generation and counts == (2, 2, 2)

    eventually(is_rolled_out)
    pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
    assert all(each.status.pod_ip.startswith("127.91.") for each in pods)
    usage = cluster.api("CustomObjectsApi", "operator")
    eventually(
        lambda: len(usage.list_namespaced_custom_object("metrics.k8s.io", "v1beta1", namespace, "pods")["items"]) >= 2
    )


def test_a_stale_write_conflicts_and_a_repeated_one_changes_nothing(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("cfg", a="1"))
    core = cluster.api("CoreV1Api")
    read = core.read_namespaced_config_map("cfg", namespace)
    read.data = {"a": "2"}
    written = core.replace_namespaced_config_map("cfg", namespace, read)
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("cfg", namespace, read)
    assert refused.value.status == 409
    if cluster.is_real:
        return  # Kubernetes 1.20 takes a new time in managedFields for a change; later releases do not.
    again = core.patch_namespaced_config_map("cfg", namespace, {"data": {"a": "2"}})
    assert again.metadata.resource_version == written.metadata.resource_version


def test_status_is_apart_and_generation_counts_the_spec(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 1))
    await_rollout(cluster, namespace, "web")
    apps = cluster.api("AppsV1Api")
    before = apps.read_namespaced_deployment("web", namespace)
    after = apps.patch_namespaced_deployment(
        "web", namespace, {"status": {"replicas": 99}, "metadata": {"labels": {"x": "y"}}}
    )
    assert after.status.replicas == 1
    assert after.metadata.generation == before.metadata.generation
    dry = apps.patch_namespaced_deployment("web", namespace, {"spec": {"replicas": 7}}, dry_run="All")
    assert dry.spec.replicas == 7
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 1


def test_a_watch_goes_on_where_the_last_one_ended(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("a", n="0"))
    core = cluster.api("CoreV1Api")
    revision = core.list_namespaced_config_map(namespace).metadata.resource_version
    seen: list[tuple[str, str, str]] = []

    def change() -> None:
        for number in "12":
            core.patch_namespaced_config_map("a", namespace, {"data": {"n": number}})
        core.delete_namespaced_config_map("a", namespace)

    threading.Timer(0.2, change).start()
    for part in range(2):
        stream: Any = watch.Watch()  # type: ignore[no-untyped-call]
        for event in stream.stream(
            core.list_namespaced_config_map,
            namespace,
            field_selector="metadata.name=a",
            resource_version=revision,
            timeout_seconds=10,
        ):
            document = event["object"]
            seen.append((event["type"], document.metadata.name, document.data["n"]))
            revision = document.metadata.resource_version
            if part == 0 or event["type"] == "DELETED":
                stream.stop()
    assert seen == [("MODIFIED", "a", "1"), ("MODIFIED", "a", "2"), ("DELETED", "a", "2")]


def lines_of_watch(cluster: Cluster, path: str, **query: str) -> list[dict[str, Any]]:
    """All events of a watch that the server ends by itself."""
    answer = cluster.request("GET", path, **{"watch": "1", "timeoutSeconds": "1", **query})
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_watch_follows_its_selector(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("a"), config_map("b"))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    core = cluster.api("CoreV1Api")
    revision = core.list_namespaced_config_map(namespace).metadata.resource_version
    for labels in ({"team": "red"}, {"note": "x"}, {"team": None}):
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": labels}})
    events = lines_of_watch(cluster, path, resourceVersion=revision, labelSelector="team=red")
    assert [each["type"] for each in events] == ["ADDED", "MODIFIED", "DELETED"]
    present = lines_of_watch(cluster, path, fieldSelector="metadata.name=b")
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in present] == [("ADDED", "b")]


def test_tables_for_kubectl(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("a", x="1", y="2"))
    accept = {"Authorization": "Bearer admin-token", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    url = f"{cluster.server}{path_of('ConfigMap', namespace)}"
    table = httpx.get(url, headers=accept, verify=False).json()  # noqa: S501
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = next(each for each in table["rows"] if each["cells"][0] == "a")
    assert row["cells"][1] == 2
    assert row["object"]["kind"] == "PartialObjectMetadata"


def test_the_autoscaler_keeps_its_limits(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 1), autoscaler("web", 1, 5))

    def replicas() -> int:
        return int(get(cluster, namespace, "Deployment", "web")["spec"]["replicas"])

    def patch(**limits: int) -> None:
        api = cluster.api("AutoscalingV1Api", "operator")
        api.patch_namespaced_horizontal_pod_autoscaler("web", namespace, {"spec": limits})

    patch(minReplicas=3)
    eventually(lambda: replicas() == 3, every=0.1)
    patch(minReplicas=1, maxReplicas=2)
    eventually(lambda: replicas() == 2, every=0.1)
    cluster.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=0")

    def is_disabled() -> bool:
        live = get(cluster, namespace, "HorizontalPodAutoscaler", "web")
        text = live["metadata"].get("annotations", {}).get("autoscaling.alpha.kubernetes.io/conditions", "[]")
        return any(each["reason"] == "ScalingDisabled" for each in json.loads(text))

    eventually(is_disabled, every=0.1)
    assert replicas() == 0


def test_the_autoscaler_follows_the_load(cluster: Cluster, namespace: str) -> None:
    busy = deployment("web", 1, BURN)
    busy["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    create(cluster, namespace, busy, autoscaler("web", 1, 2))

    def status() -> dict[str, Any]:
        live: dict[str, Any] = get(cluster, namespace, "HorizontalPodAutoscaler", "web")
        return live

    eventually(lambda: get(cluster, namespace, "Deployment", "web")["spec"]["replicas"] == 2, within=25, every=0.3)
    found = eventually(
        lambda: status() if "ScalingLimited" in json.dumps(status()["metadata"].get("annotations", {})) else None,
        every=0.3,
    )
    conditions = json.loads(found["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/conditions"])
    limited = next(each for each in conditions if each["type"] == "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "TooManyReplicas")
    assert found["status"]["currentCPUUtilizationPercentage"] > 50
    assert found["status"]["desiredReplicas"] == 2


def test_a_stuck_rollout_exceeds_its_deadline_and_keeps_the_old_pods(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 2, progressDeadlineSeconds=2))
    await_rollout(cluster, namespace, "web")
    env = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "x"}}}
    change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [env]}]}}}}
    apps = cluster.api("AppsV1Api")
    apps.patch_namespaced_deployment("web", namespace, change)

    def progressing() -> Any:
        conditions = apps.read_namespaced_deployment_status("web", namespace).status.conditions
        return next(each for each in conditions if each.type == "Progressing")

    eventually(lambda: progressing().reason == "ProgressDeadlineExceeded", every=0.1)
    assert progressing().status == "False"
    status = apps.read_namespaced_deployment("web", namespace).status
    assert (status.available_replicas, status.updated_replicas) == (2, 1)
    refused = cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web")
    assert "exceeded its progress deadline" in refused.stderr
    pods = get_all(cluster, namespace, "Pod")
    waiting = [
        each["state"]["waiting"]["reason"]
        for pod in pods
        for each in pod["status"].get("containerStatuses", ())
        if "waiting" in each["state"]
    ]
    assert waiting == ["CreateContainerConfigError"]


def test_recreate_and_pause(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 2, strategy={"type": "Recreate"}))
    await_rollout(cluster, namespace, "web")
    cluster.kubectl("-n", namespace, "rollout", "pause", "deployment/web")
    cluster.kubectl("-n", namespace, "set", "env", "deployment/web", "COLOR=red")
    cluster.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=3")
    await_pods(cluster, namespace, "app=web", 3)
    assert len(get_all(cluster, namespace, "ReplicaSet")) == 1
    cluster.kubectl("-n", namespace, "rollout", "resume", "deployment/web")
    await_rollout(cluster, namespace, "web")
    pods = await_pods(cluster, namespace, "app=web", 3)
    assert {pod["spec"]["containers"][0]["env"][0]["value"] for pod in pods} == {"red"}


def test_a_restarted_pod_sees_a_changed_config_map(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("web-config", GREETING="hello"), serving("web", 1))
    await_rollout(cluster, namespace, "web")
    core = cluster.api("CoreV1Api", "operator")
    core.patch_namespaced_config_map("web-config", namespace, {"data": {"GREETING": "good day"}})
    assert "serving hello" in cluster.kubectl("-n", namespace, "logs", "deployment/web").stdout
    cluster.kubectl("-n", namespace, "rollout", "restart", "deployment/web")
    await_rollout(cluster, namespace, "web")
    await_pods(cluster, namespace, "app=web", 1)
    assert "serving good day" in cluster.kubectl("-n", namespace, "logs", "deployment/web").stdout


def test_every_object_is_valid(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, config_map("web-config", GREETING="hello"), serving("web", 1), autoscaler("web", 1, 2))
    await_rollout(cluster, namespace, "web")
    inside = ("Pod", "Deployment", "ReplicaSet", "ConfigMap", "Event", "HorizontalPodAutoscaler")
    documents = [each for kind in inside for each in get_all(cluster, namespace, kind)]
    documents += [each for kind in ("Namespace", "Node") for each in get_all(cluster, "", kind)]
    assert {each["kind"] for each in documents} >= {*inside, "Namespace", "Node"}
    for document in documents:
        kubernetes_validate.validate(document, "1.37", strict=True)


def apply_as(cluster: Cluster, namespace: str, manager: str, document: dict[str, Any], **query: str) -> httpx.Response:
    """A server-side apply."""
    path = path_of(document["kind"], namespace, document["metadata"]["name"])
    return cluster.request("PATCH", path, document, kind="application/apply-patch+yaml", fieldManager=manager, **query)


def test_server_side_apply_knows_who_set_what(cluster: Cluster, namespace: str) -> None:
    assert apply_as(cluster, namespace, "first", config_map("cfg", a="1", b="1")).status_code == 201
    assert apply_as(cluster, namespace, "second", config_map("cfg", b="1", c="1")).status_code == 200
    refused = apply_as(cluster, namespace, "second", config_map("cfg", b="2")).json()
    assert (refused["code"], refused["reason"]) == (409, "Conflict")
    assert [each["field"] for each in refused["details"]["causes"]] == [".data.b"]
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.b' or (
        refused["message"] == 'Apply failed with 1 conflict: conflict with "first" using v1: .data.b'
    )
    forced = apply_as(cluster, namespace, "second", config_map("cfg", b="2"), force="true").json()
    assert forced["data"] == {"a": "1", "b": "2"}
    left = apply_as(cluster, namespace, "first", config_map("cfg", a="1")).json()
    assert left["data"] == {"a": "1", "b": "2"}
    owners = {each["manager"]: each["fieldsV1"] for each in left["metadata"]["managedFields"]}
    assert owners["first"] == {"f:data": {"f:a": {}}}
    assert owners["second"]["f:data"]["f:b"] == {}


def test_owners_adopt_and_release(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 2))
    pods = {pod["metadata"]["name"] for pod in await_pods(cluster, namespace, "app=web", 2)}
    cluster.kubectl("-n", namespace, "delete", "deployment", "web", "--cascade=orphan")
    create(cluster, namespace, deployment("web", 2))
    await_rollout(cluster, namespace, "web")
    assert {pod["metadata"]["name"] for pod in await_pods(cluster, namespace, "app=web", 2)} == pods
    aside = pods.pop()
    cluster.kubectl("-n", namespace, "label", "pod", aside, "app=aside", "--overwrite")
    left = await_pods(cluster, namespace, "app=web", 2)
    assert aside not in {pod["metadata"]["name"] for pod in left}
    eventually(lambda: not get(cluster, namespace, "Pod", aside)["metadata"].get("ownerReferences"))
    cluster.kubectl("-n", namespace, "delete", "deployment", "web", "--cascade=foreground")
    eventually(lambda: [pod["metadata"]["name"] for pod in get_all(cluster, namespace, "Pod")] == [aside])
