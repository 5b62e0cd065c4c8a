"""What a person types: the same kubectl commands, with the same outcome, on the lab's cluster and on a real one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.lab.kubernetes.clusters import Cluster, eventually
from tests.lab.kubernetes.manifests import (
    autoscaler,
    await_pods,
    await_rollout,
    config_map,
    create,
    create_namespace,
    delete_namespace,
    deployment,
    get,
    get_all,
    serving,
)


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[str]:
    """A namespace with a deployment `web` of two servers, its ConfigMap and an autoscaler that does not act."""
    name = f"shop-{uuid.uuid4().hex[:6]}"
    create_namespace(cluster, name)
    create(cluster, name, config_map("web-config", GREETING="hello"), serving("web", 2), autoscaler("web", 2, 2))
    await_rollout(cluster, name, "web")
    yield name
    delete_namespace(cluster, name)


def run(cluster: Cluster, namespace: str, *words: str, stdin: str = "", user: str = "admin") -> str:
    done = cluster.kubectl("-n", namespace, *words, stdin=stdin, user=user)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def pod_of(cluster: Cluster, namespace: str) -> str:
    return str(await_pods(cluster, namespace, "app=web", 2)[0]["metadata"]["name"])


READINGS = [
    ("version", r"Server Version"),
    ("api-resources", r"deployments\s+deploy\s+apps/v1\s+true\s+Deployment"),
    ("get pods", r"NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\nweb-\S+\s+1/1\s+Running\s+0\s+\S+"),
    ("get pods -o wide", r"IP\s+NODE\s+NOMINATED NODE\s+READINESS GATES\nweb-.* 127\.91\.\d\.\d+\s+lab-node-1"),
    ("get deployments", r"NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nweb\s+2/2\s+2\s+2"),
    ("get deployments -o wide", r"CONTAINERS\s+IMAGES\s+SELECTOR\nweb .* c\s+local/program:1\s+app=web"),
    ("get rs", r"NAME\s+DESIRED\s+CURRENT\s+READY\s+AGE\nweb-\S+\s+2\s+2\s+2"),
    ("get hpa", r"NAME\s+REFERENCE\s+TARGETS\s+MINPODS\s+MAXPODS\s+REPLICAS\s+AGE\nweb\s+Deployment/web"),
    ("get cm web-config", r"NAME\s+DATA\s+AGE\nweb-config\s+1\s"),
    ("get nodes", r"NAME\s+STATUS\s+ROLES\s+AGE\s+VERSION\nlab-node-1\s+Ready\s+<none>"),
    ("get all", r"pod/web-[\s\S]*deployment.apps/web[\s\S]*replicaset.apps/web-"),
    ("get pods,deployments,configmaps", r"pod/web-[\s\S]*deployment.apps/web[\s\S]*configmap/web-config"),
    ("get pods -o name -l app=web", r"^pod/web-\S+\npod/web-\S+\n$"),
    ("get pods -o name -l app!=web", r"^$"),
    ("get pods -o name -l 'app in (web,other),!absent'", r"^pod/web-\S+\npod/web-\S+\n$"),
    ("get pods -o name --field-selector status.phase=Running", r"^pod/web-\S+\npod/web-\S+\n$"),
    ("get pods -o name --field-selector status.phase!=Running", r"^$"),
    ("get deployment web -o jsonpath={.spec.replicas}", r"^2$"),
    ("get deployment web -o yaml", r"kind: Deployment"),
    ("get events", r"LAST SEEN\s+TYPE\s+REASON\s+OBJECT\s+MESSAGE"),
    ("get events --field-selector involvedObject.kind=Deployment", r"ScalingReplicaSet\s+deployment/web\s+Scaled up"),
    ("get events --sort-by=.lastTimestamp", r"Scheduled\s+pod/web-"),
    ("describe deployment web", r"Replicas:\s+2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable"),
    ("describe pods -l app=web", r"Ready\s+True[\s\S]*Successfully assigned"),
    ("describe node lab-node-1", r"Non-terminated Pods:[\s\S]*web-"),
    ("describe hpa web", r"Min replicas:\s+2\nMax replicas:\s+2"),
    ("rollout status deployment/web", r"successfully rolled out"),
    ("rollout history deployment/web", r"REVISION\s+CHANGE-CAUSE\n1\s+<none>"),
    ("logs -l app=web --tail=1 --prefix", r"\[pod/web-\S+/c\] "),
    ("logs deployment/web -c c --tail=-1", r"serving hello"),
    ("top pods", r"NAME\s+CPU\(cores\)\s+MEMORY\(bytes\)\s*\nweb-\S+\s+\d+m\s+\d+Mi"),
    ("top nodes", r"lab-node-1\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%"),
    ("wait --for=condition=available deployment/web --timeout=5s", r"condition met"),
    ("auth can-i delete pods", r"^yes\n$"),
    ("auth can-i --list", r"\*\.\*"),
    ("get --raw /readyz", r"^ok$"),
]


@pytest.mark.parametrize(("words", "expected"), READINGS, ids=[words for words, _ in READINGS])
def test_reading(cluster: Cluster, shop: str, words: str, expected: str) -> None:
    assert re.search(expected, run(cluster, shop, *shlex.split(words)))


@pytest.mark.parametrize(
    ("user", "question", "allowed"),
    [
        ("operator", "get pods --subresource=log", True),
        ("operator", "patch deployments.apps", True),
        ("operator", "update deployments.apps --subresource=scale", True),
        ("operator", "delete pods", True),
        ("operator", "delete deployments.apps", False),
        ("operator", "get secrets", False),
        ("viewer", "list deployments.apps", True),
        ("viewer", "patch deployments.apps", False),
        ("viewer", "get secrets", False),
    ],
)
def test_permissions(cluster: Cluster, user: str, question: str, allowed: bool) -> None:
    done = cluster.kubectl("auth", "can-i", *question.split(), user=user)
    assert done.stdout.strip() == ("yes" if allowed else "no")


def test_scale_patch_and_environment(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web"), config_map("cfg", a="1"))
    assert "scaled" in run(cluster, namespace, "scale", "deployment/web", "--replicas=3")
    assert "scaled" in run(cluster, namespace, "scale", "deployment/web", "--current-replicas=3", "--replicas=2")
    assert "env updated" in run(cluster, namespace, "set", "env", "deployment/web", "SHAPE=round")
    environment = get(cluster, namespace, "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {each["name"]: each["value"] for each in environment} == {"COLOR": "blue", "SHAPE": "round"}
    run(cluster, namespace, "set", "image", "deployment/web", "c=local/program:2")
    run(cluster, namespace, "set", "resources", "deployment/web", "--limits=memory=128Mi")
    run(cluster, namespace, "label", "deployment/web", "tier=front")
    run(cluster, namespace, "annotate", "deployment/web", "note=x")
    run(cluster, namespace, "patch", "cm", "cfg", "-p", '{"data":{"b":"2"}}')
    run(cluster, namespace, "patch", "cm", "cfg", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"3"}]')
    run(cluster, namespace, "patch", "cm", "cfg", "--type=merge", "-p", '{"data":{"a":null}}')
    assert get(cluster, namespace, "ConfigMap", "cfg")["data"] == {"b": "2", "c": "3"}
    container = get(cluster, namespace, "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "local/program:2"
    assert container["resources"]["limits"] == {"memory": "128Mi"}


def test_apply_client_side_and_server_side(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    manifest = tmp_path / "web.yaml"

    def apply(document: dict[str, object], *options: str) -> str:
        manifest.write_text(yaml.safe_dump(document))
        return run(cluster, namespace, "apply", *options, "-f", str(manifest))

    assert "created" in apply(deployment("web", 1))
    assert "unchanged" in apply(deployment("web", 1))
    changed = deployment("web", 2)
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "SIZE", "value": "big"}]
    assert "configured" in apply(changed)
    container = get(cluster, namespace, "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert [each["name"] for each in container["env"]] == ["SIZE"]
    assert "serverside-applied" in apply(config_map("ssa", a="1", b="2"), "--server-side")
    assert "serverside-applied" in apply(config_map("ssa", a="1"), "--server-side")
    assert get(cluster, namespace, "ConfigMap", "ssa")["data"] == {"a": "1"}
    manifest.write_text(yaml.safe_dump(deployment("web", 5)))
    difference = cluster.kubectl("-n", namespace, "diff", "-f", str(manifest))
    assert difference.returncode == 1
    assert re.search(r"\+\s+replicas: 5", difference.stdout)
    assert get(cluster, namespace, "Deployment", "web")["spec"]["replicas"] == 2


def test_rollout_restart_history_and_undo(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 2))
    await_rollout(cluster, namespace, "web")
    first = {each["metadata"]["name"] for each in await_pods(cluster, namespace, "app=web", 2)}
    assert "restarted" in run(cluster, namespace, "rollout", "restart", "deployment/web")
    await_rollout(cluster, namespace, "web")
    second = {each["metadata"]["name"] for each in await_pods(cluster, namespace, "app=web", 2)}
    assert not first & second
    run(cluster, namespace, "set", "env", "deployment/web", "COLOR=red")
    await_rollout(cluster, namespace, "web")
    history = run(cluster, namespace, "rollout", "history", "deployment/web")
    assert re.findall(r"^(\d+)\s", history, re.MULTILINE) == ["1", "2", "3"]
    assert "COLOR:\tred" in run(cluster, namespace, "rollout", "history", "deployment/web", "--revision=3")
    assert "rolled back" in run(cluster, namespace, "rollout", "undo", "deployment/web")
    await_rollout(cluster, namespace, "web")
    live = get(cluster, namespace, "Deployment", "web")
    assert live["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "COLOR", "value": "blue"}]
    assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4"
    history = run(cluster, namespace, "rollout", "history", "deployment/web")
    assert re.findall(r"^(\d+)\s", history, re.MULTILINE) == ["1", "3", "4"]
    run(cluster, namespace, "rollout", "undo", "deployment/web", "--to-revision=3")
    await_rollout(cluster, namespace, "web")
    live = get(cluster, namespace, "Deployment", "web")
    assert live["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "COLOR", "value": "red"}]


def test_logs(cluster: Cluster, namespace: str) -> None:
    command = ["sh", "-c", "echo one; echo two; sleep 2; echo three >&2; exec sleep 1000"]
    create(cluster, namespace, deployment("web", 1, command))
    pod = str(await_pods(cluster, namespace, "app=web", 1)[0]["metadata"]["name"])
    eventually(lambda: "three" in run(cluster, namespace, "logs", pod))
    assert run(cluster, namespace, "logs", pod) == "one\ntwo\nthree\n"
    assert run(cluster, namespace, "logs", pod, "--tail=1") == "three\n"
    assert run(cluster, namespace, "logs", pod, "--limit-bytes=5") == "one\nt"
    assert run(cluster, namespace, "logs", pod, "--since=1h").startswith("one\n")
    stamped = run(cluster, namespace, "logs", pod, "--timestamps").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z \w+$", line) for line in stamped)
    since = stamped[-1].split()[0]
    assert run(cluster, namespace, "logs", pod, f"--since-time={since}") in ("three\n", "")
    refused = cluster.kubectl("-n", namespace, "logs", pod, "--previous")
    assert "previous terminated container" in refused.stderr
    refused = cluster.kubectl("-n", namespace, "logs", pod, "-c", "nope")
    assert f"container nope is not valid for pod {pod}" in refused.stderr


def test_following_logs_ends_with_the_container(cluster: Cluster, namespace: str) -> None:
    command = ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.4; done; exec sleep 1000"]
    create(cluster, namespace, deployment("web", 1, command))
    await_pods(cluster, namespace, "app=web", 1)
    words = ["kubectl", "--kubeconfig", str(cluster.kubeconfig()), "-n", namespace, "logs", "-f", "deployment/web"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(3)] == ["line 1\n", "line 2\n", "line 3\n"]
        run(cluster, namespace, "scale", "deployment/web", "--replicas=0")
        assert following.wait(10) == 0


def test_watching(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 1))
    await_rollout(cluster, namespace, "web")
    words = ["kubectl", "--kubeconfig", str(cluster.kubeconfig()), "-n", namespace, "get", "deployments", "-w"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().split()[:2] == ["NAME", "READY"]
        assert watching.stdout.readline().split()[:2] == ["web", "1/1"]
        run(cluster, namespace, "scale", "deployment/web", "--replicas=2")
        seen = []
        while "2/2" not in seen:
            seen.append(watching.stdout.readline().split()[1])
        assert seen[0] == "1/2"
        watching.terminate()


def test_deleting(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", 2), config_map("cfg", a="1"))
    pods = await_pods(cluster, namespace, "app=web", 2)
    gone = str(pods[0]["metadata"]["name"])
    assert "deleted" in run(cluster, namespace, "delete", "pod", gone)
    left = await_pods(cluster, namespace, "app=web", 2)
    assert gone not in {each["metadata"]["name"] for each in left}
    assert "deleted" in run(cluster, namespace, "delete", "deployment/web", "cm/cfg")
    eventually(
        lambda: not get_all(cluster, namespace, "Pod") + get_all(cluster, namespace, "ReplicaSet"), within=20, every=0.1
    )


def test_create_by_generators(cluster: Cluster, namespace: str) -> None:
    """These send protobuf."""
    run(cluster, namespace, "create", "cm", "cfg", "--from-literal=a=b")
    assert get(cluster, namespace, "ConfigMap", "cfg")["data"] == {"a": "b"}
    create(cluster, namespace, deployment("web", 1))
    run(cluster, namespace, "autoscale", "deployment", "web", "--min=1", "--max=4", "--cpu-percent=50")
    spec = get(cluster, namespace, "HorizontalPodAutoscaler", "web")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["targetCPUUtilizationPercentage"]) == (1, 4, 50)


def test_cordon(cluster: Cluster, namespace: str) -> None:
    run(cluster, namespace, "cordon", "lab-node-1")
    try:
        assert json.loads(run(cluster, namespace, "get", "node", "lab-node-1", "-o", "json"))["spec"]["unschedulable"]
        create(cluster, namespace, deployment("web", 1))
        pods = "-o=jsonpath={.items[*].status.conditions[?(@.type=='PodScheduled')].reason}"
        eventually(lambda: run(cluster, namespace, "get", "pods", pods) == "Unschedulable", every=0.1)
    finally:
        run(cluster, namespace, "uncordon", "lab-node-1")
    await_pods(cluster, namespace, "app=web", 1)
