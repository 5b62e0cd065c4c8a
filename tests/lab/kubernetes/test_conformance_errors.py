"""Refusals: the same code, reason and message for the same mistake, on the lab's cluster and on a real one."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.lab.kubernetes.clusters import Cluster
from tests.lab.kubernetes.manifests import (
    autoscaler,
    await_pods,
    config_map,
    create,
    create_namespace,
    delete_namespace,
    deployment,
)

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Mistake:
    """A request in namespace NS and what must come back; the message is a regular expression."""

    name: str
    method: str
    path: str
    body: Any
    code: int
    reason: str
    message: str
    content_type: str = JSON
    user: str = "admin"


DEPLOYMENTS = "/apis/apps/v1/namespaces/NS/deployments"
AUTOSCALERS = "/apis/autoscaling/v1/namespaces/NS/horizontalpodautoscalers"
CONFIG_MAPS = "/api/v1/namespaces/NS/configmaps"
STALE = {"metadata": {"resourceVersion": "1"}}
BOTH = re.escape("the object has been modified; please apply your changes to the latest version and try again")

MISTAKES = [
    Mistake("missing", "GET", f"{DEPLOYMENTS}/nope", None, 404, "NotFound", r'^deployments\.apps "nope" not found$'),
    Mistake("missing pod", "GET", "/api/v1/namespaces/NS/pods/nope", None, 404, "NotFound", r'^pods "nope" not found$'),
    Mistake("missing scale", "GET", f"{DEPLOYMENTS}/nope/scale", None, 404, "NotFound", r'"nope" not found$'),
    Mistake("unknown resource", "GET", "/apis/apps/v1/namespaces/NS/nopes", None, 404, "NotFound", "could not find"),
    Mistake(
        "no such namespace",
        "POST",
        "/api/v1/namespaces/nowhere/configmaps",
        config_map("a"),
        404,
        "NotFound",
        r'^namespaces "nowhere" not found$',
    ),
    Mistake(
        "exists", "POST", CONFIG_MAPS, config_map("cfg"), 409, "AlreadyExists", r'^configmaps "cfg" already exists$'
    ),
    Mistake(
        "stale put",
        "PUT",
        f"{CONFIG_MAPS}/cfg",
        {**config_map("cfg"), "metadata": {"name": "cfg", **STALE["metadata"]}},
        409,
        "Conflict",
        BOTH,
    ),
    Mistake("stale merge patch", "PATCH", f"{DEPLOYMENTS}/web", STALE, 409, "Conflict", BOTH, MERGE),
    Mistake("stale strategic patch", "PATCH", f"{DEPLOYMENTS}/web", STALE, 409, "Conflict", BOTH, STRATEGIC),
    Mistake(
        "stale json patch",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}],
        409,
        "Conflict",
        BOTH,
        JSON_PATCH,
    ),
    Mistake(
        "stale scale",
        "PATCH",
        f"{DEPLOYMENTS}/web/scale",
        {**STALE, "spec": {"replicas": 4}},
        409,
        "Conflict",
        BOTH,
        MERGE,
    ),
    Mistake(
        "failed test of a json patch",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        [{"op": "test", "path": "/spec/replicas", "value": 77}],
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        JSON_PATCH,
    ),
    Mistake(
        "wrong uid",
        "DELETE",
        f"{DEPLOYMENTS}/web",
        {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "not-this"}},
        409,
        "Conflict",
        r"the UID in the precondition \(not-this\) does not match the UID in record",
    ),
    Mistake(
        "negative replicas",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {"spec": {"replicas": -1}},
        422,
        "Invalid",
        r'^Deployment\.apps "web" is invalid: spec\.replicas: Invalid value: -1: must be greater than or equal to 0$',
        MERGE,
    ),
    Mistake(
        "negative scale",
        "PATCH",
        f"{DEPLOYMENTS}/web/scale",
        {"spec": {"replicas": -1}},
        422,
        "Invalid",
        r'^Scale\.autoscaling "web" is invalid: spec\.replicas: Invalid value: -1: must be greater than or equal to 0$',
        MERGE,
    ),
    Mistake(
        "minReplicas above maxReplicas",
        "PATCH",
        f"{AUTOSCALERS}/web",
        {"spec": {"minReplicas": 9}},
        422,
        "Invalid",
        r"spec\.maxReplicas: Invalid value: 4: must be greater than or equal to `minReplicas`$",
        MERGE,
    ),
    Mistake(
        "bad name",
        "POST",
        CONFIG_MAPS,
        config_map("Not_A_Name"),
        422,
        "Invalid",
        r'^ConfigMap "Not_A_Name" is invalid: metadata\.name: Invalid value: "Not_A_Name": '
        r".*1123 subdomain must consist of",
    ),
    Mistake(
        "no name",
        "POST",
        CONFIG_MAPS,
        {"data": {}},
        422,
        "Invalid",
        r"metadata\.name: Required value: name or generateName is required",
    ),
    Mistake(
        "changed selector",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}},
        422,
        "Invalid",
        r"spec\.selector: Invalid value: .*: field is immutable$",
        MERGE,
    ),
    Mistake(
        "selector and labels differ",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}},
        422,
        "Invalid",
        r"spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`",
        MERGE,
    ),
    Mistake(
        "wrong type in a patch",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {"spec": {"replicas": "three"}},
        422,
        "Invalid",
        "patch: Invalid value: ",
        MERGE,
    ),
    Mistake(
        "wrong type in a whole object",
        "PUT",
        f"{CONFIG_MAPS}/cfg",
        {**config_map("cfg"), "data": {"a": 1}},
        400,
        "BadRequest",
        "cannot be handled as a ConfigMap",
    ),
    Mistake("not json", "POST", CONFIG_MAPS, "{", 400, "BadRequest", r"json|EOF|unrecognized"),
    Mistake(
        "unknown patch type",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {},
        415,
        "UnsupportedMediaType",
        "accepted media types include|Unsupported Media Type",
    ),
    Mistake(
        "bad field selector",
        "GET",
        "/api/v1/namespaces/NS/pods?fieldSelector=spec.color=red",
        None,
        400,
        "BadRequest",
        "field label not supported",
    ),
    Mistake(
        "bad label selector",
        "GET",
        "/api/v1/namespaces/NS/pods?labelSelector=a%20in%20b",
        None,
        400,
        "BadRequest",
        "unable to parse|found",
    ),
    Mistake("wrong method", "POST", f"{DEPLOYMENTS}/web", {}, 405, "MethodNotAllowed", "does not allow this method"),
    Mistake(
        "changed pod",
        "PATCH",
        "/api/v1/namespaces/NS/pods/POD",
        {"spec": {"containers": [{"name": "c", "command": ["x"]}]}},
        422,
        "Invalid",
        r"pod updates may not change fields other than",
        STRATEGIC,
    ),
    Mistake("stranger", "GET", f"{DEPLOYMENTS}/web", None, 401, "Unauthorized", "^Unauthorized$", user="stranger"),
    Mistake(
        "viewer patches",
        "PATCH",
        f"{DEPLOYMENTS}/web",
        {"spec": {"replicas": 5}},
        403,
        "Forbidden",
        r'^deployments\.apps "web" is forbidden: User "viewer" cannot patch resource "deployments" '
        r'in API group "apps" in the namespace "NS"$',
        MERGE,
        "viewer",
    ),
    Mistake(
        "viewer scales",
        "PATCH",
        f"{DEPLOYMENTS}/web/scale",
        {"spec": {"replicas": 5}},
        403,
        "Forbidden",
        r'^deployments\.apps "web" is forbidden: User "viewer" cannot patch resource "deployments/scale" '
        r'in API group "apps" in the namespace "NS"$',
        MERGE,
        "viewer",
    ),
    Mistake(
        "operator reads secrets",
        "GET",
        "/api/v1/namespaces/NS/secrets",
        None,
        403,
        "Forbidden",
        r'^secrets is forbidden: User "runbooks" cannot list resource "secrets" in API group "" in the namespace "NS"$',
        user="operator",
    ),
    Mistake(
        "operator deletes a deployment",
        "DELETE",
        f"{DEPLOYMENTS}/web",
        None,
        403,
        "Forbidden",
        r'cannot delete resource "deployments"',
        user="operator",
    ),
    Mistake(
        "viewer lists nodes of another kind",
        "GET",
        "/api/v1/secrets",
        None,
        403,
        "Forbidden",
        r'^secrets is forbidden: User "viewer" cannot list resource "secrets" in API group "" at the cluster scope$',
        user="viewer",
    ),
    Mistake(
        "bound twice",
        "POST",
        "/api/v1/namespaces/NS/pods/POD/binding",
        {"metadata": {"name": "POD"}, "target": {"kind": "Node", "name": "other"}},
        409,
        "Conflict",
        r"already assigned to node",
    ),
]


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """A namespace with a deployment, an autoscaler and a ConfigMap, and the name of its pod."""
    name = f"errors-{uuid.uuid4().hex[:6]}"
    create_namespace(cluster, name)
    create(cluster, name, deployment("web"), autoscaler("web", 1, 4), config_map("cfg", a="1"))
    pod = await_pods(cluster, name, "app=web", 1)[0]
    yield name, str(pod["metadata"]["name"])
    delete_namespace(cluster, name)


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_refusal(cluster: Cluster, place: tuple[str, str], mistake: Mistake) -> None:
    def here(text: str) -> str:
        return text.replace("NS", place[0]).replace("POD", place[1])

    body = mistake.body if isinstance(mistake.body, str) or mistake.body is None else here(json.dumps(mistake.body))
    answer = cluster.request(mistake.method, here(mistake.path), body, mistake.user, mistake.content_type)
    status = answer.json()
    assert (answer.status_code, status["code"], status["reason"]) == (mistake.code, mistake.code, mistake.reason), (
        status
    )
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert re.search(here(mistake.message), status["message"]), status["message"]


def test_anonymous_may_only_ask_for_health_and_version(cluster: Cluster) -> None:
    assert httpx.get(f"{cluster.server}/readyz", verify=False).text == "ok"  # noqa: S501
    assert httpx.get(f"{cluster.server}/version", verify=False).status_code == 200  # noqa: S501
    refused = httpx.get(f"{cluster.server}/api/v1/pods", verify=False)  # noqa: S501
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )
