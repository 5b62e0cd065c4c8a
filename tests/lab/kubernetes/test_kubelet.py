"""The kubelet's promises about processes, on the lab's cluster and under a real control plane."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab.kubernetes.clusters import Cluster, eventually, lab_cluster, start_kubelet, start_lab_apiserver
from tests.lab.kubernetes.manifests import (
    await_pods,
    await_rollout,
    config_map,
    create,
    create_namespace,
    deployment,
    get,
    get_all,
    pod,
)


def status_of(cluster: Cluster, namespace: str, name: str, container: int = 0) -> dict[str, Any]:
    statuses = get(cluster, namespace, "Pod", name)["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[container] if container < len(statuses) else {}
    return found


def log_of(cluster: Cluster, namespace: str, *words: str) -> str:
    return cluster.kubectl("-n", namespace, "logs", *words).stdout


def processes_with(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
            found.append(process)
    return found


def test_environment_is_minimal_and_resolved(cluster: Cluster, namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"KEY": "hidden"}}
    fields = [("NAME", "metadata.name"), ("NAMESPACE", "metadata.namespace"), ("IP", "status.podIP")]
    environment = [
        {"name": "PLAIN", "value": "p"},
        {"name": "BUILT", "value": "$(PLAIN)-$(NAME_UNKNOWN)-$$(PLAIN)"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "KEY"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields),
    ]
    sources = [{"configMapRef": {"name": "cfg"}, "prefix": "C_"}]
    container = {"command": ["env"], "env": environment, "envFrom": sources}
    create(cluster, namespace, secret, config_map("cfg", A="1"), pod("show", container, restartPolicy="Never"))
    eventually(lambda: get(cluster, namespace, "Pod", "show")["status"]["phase"] == "Succeeded", every=0.1)
    seen = dict(line.split("=", 1) for line in log_of(cluster, namespace, "show").splitlines())
    address = get(cluster, namespace, "Pod", "show")["status"]["podIP"]
    assert seen.pop("PATH")
    assert seen.pop("HOME")
    assert seen == {
        "HOSTNAME": "show",
        "C_A": "1",
        "PLAIN": "p",
        "BUILT": "p-$(NAME_UNKNOWN)-$(PLAIN)",
        "FROM_SECRET": "hidden",
        "NAME": "show",
        "NAMESPACE": namespace,
        "IP": address,
    }


def test_crash_loop_with_back_off_and_previous_log(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, pod("crash", {"command": ["sh", "-c", "echo run $$; exit 3"]}))
    waiting = eventually(lambda: status_of(cluster, namespace, "crash").get("state", {}).get("waiting", {}), every=0.1)
    found = eventually(
        lambda: (
            status
            if (status := status_of(cluster, namespace, "crash")).get("state", {}).get("waiting", {}).get("reason")
            == "CrashLoopBackOff"
            else None
        ),
        every=0.1,
    )
    assert waiting["reason"] in ("ContainerCreating", "CrashLoopBackOff")
    assert found["restartCount"] >= 1
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert found["lastState"]["terminated"]["reason"] == "Error"
    assert not found["ready"]
    eventually(lambda: status_of(cluster, namespace, "crash")["restartCount"] >= 3, every=0.1)
    assert log_of(cluster, namespace, "crash", "--previous").startswith("run ")
    assert "CrashLoopBackOff" in cluster.kubectl("-n", namespace, "get", "pods").stdout
    assert "Back-off restarting failed container" in cluster.kubectl("-n", namespace, "describe", "pod", "crash").stdout


def test_a_missing_config_map_is_waited_for(cluster: Cluster, namespace: str) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "a"}}}]
    create(cluster, namespace, pod("wait", {"command": ["sh", "-c", "echo got $A; exec sleep 1000"], "env": env}))

    def waiting() -> dict[str, Any]:
        found: dict[str, Any] = status_of(cluster, namespace, "wait").get("state", {}).get("waiting", {})
        return found

    eventually(lambda: waiting().get("reason") == "CreateContainerConfigError", every=0.1)
    assert waiting()["message"] == 'configmap "later" not found'
    create(cluster, namespace, config_map("later", a="it"))
    eventually(lambda: status_of(cluster, namespace, "wait").get("ready"), every=0.1)
    assert log_of(cluster, namespace, "wait") == "got it\n"


def test_a_program_that_does_not_exist(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, pod("none", {"command": ["no-such-program"]}, restartPolicy="Never"))
    eventually(lambda: get(cluster, namespace, "Pod", "none")["status"]["phase"] == "Failed", every=0.1)
    terminated = status_of(cluster, namespace, "none")["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (128, "StartError")
    assert '"no-such-program": executable file not found in $PATH' in terminated["message"]


def test_memory_limit(cluster: Cluster, namespace: str) -> None:
    command = ["python", "-c", "import time; x = b'x' * (200 << 20); time.sleep(1000)"]
    greedy = {"command": command, "resources": {"limits": {"memory": "64Mi"}}}
    create(cluster, namespace, pod("greedy", greedy, restartPolicy="Never"))
    eventually(lambda: get(cluster, namespace, "Pod", "greedy")["status"]["phase"] == "Failed", every=0.1)
    terminated = status_of(cluster, namespace, "greedy")["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")


def test_liveness_restarts_and_readiness_tells(cluster: Cluster, namespace: str) -> None:
    program = (
        "import http.server, os, time\n"
        "born = time.time()\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200 if self.path == '/ready' or time.time() < born + 1.5 else 500)\n"
        "        self.end_headers()\n"
        "http.server.HTTPServer((os.environ['IP'], 8080), Handler).serve_forever()\n"
    )
    container = {
        "command": ["python", "-c", program],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": 8080},
            "periodSeconds": 1,
            "failureThreshold": 2,
            "initialDelaySeconds": 1,
        },
    }
    closed = {
        "command": ["sleep", "1000"],
        "readinessProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 1},
    }
    create(cluster, namespace, pod("probed", container, closed))
    eventually(lambda: status_of(cluster, namespace, "probed").get("ready"), every=0.1)
    assert not status_of(cluster, namespace, "probed", 1)["ready"]
    ready = cluster.kubectl("-n", namespace, "get", "pod", "probed", "--no-headers").stdout.split()[1]
    assert ready == "1/2"
    eventually(lambda: status_of(cluster, namespace, "probed")["restartCount"] >= 1, every=0.1)
    events = cluster.kubectl("-n", namespace, "get", "events").stdout
    assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in events
    assert "Container c0 failed liveness probe, will be restarted" in events
    assert "Readiness probe failed: dial tcp" in events


def test_several_containers_and_their_logs(cluster: Cluster, namespace: str) -> None:
    first, second = ({"command": ["sh", "-c", f"echo {word}; exec sleep 1000"]} for word in ("one", "two"))
    create(cluster, namespace, pod("pair", first, second))
    eventually(lambda: status_of(cluster, namespace, "pair", 1).get("ready"), every=0.1)
    assert log_of(cluster, namespace, "pair", "-c", "c0") == "one\n"
    assert log_of(cluster, namespace, "pair", "-c", "c1") == "two\n"
    both = log_of(cluster, namespace, "pair", "--all-containers", "--prefix").splitlines()
    assert sorted(both) == ["[pod/pair/c0] one", "[pod/pair/c1] two"]


def test_termination_is_gentle_first(cluster: Cluster, namespace: str) -> None:
    gentle = {"command": ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"]}
    deaf = {"command": ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]}
    create(cluster, namespace, pod("gentle", gentle), pod("deaf", deaf))
    for name in ("gentle", "deaf"):
        eventually(lambda name=name: log_of(cluster, namespace, name) == "up\n", every=0.1)  # type: ignore[misc]
    since = cluster.audit_log.stat().st_size
    cluster.kubectl("-n", namespace, "delete", "pod", "gentle", "deaf", "--grace-period=1")
    assert not get_all(cluster, namespace, "Pod")
    codes = {}
    for record in cluster.audit(since):
        if record["objectRef"].get("subresource") == "status" and record["objectRef"].get("namespace") == namespace:
            for each in record["requestObject"]["status"].get("containerStatuses", ()):
                if "terminated" in each["state"]:
                    codes[record["objectRef"]["name"]] = each["state"]["terminated"]["exitCode"]
    assert codes == {"gentle": 0, "deaf": 137}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cluster that tests may kill."""
    with lab_cluster(tmp_path_factory.mktemp("own-cluster"), "127.91.3.0/24") as running:
        yield running


def mark_of(folder: Path) -> str:
    return f"mark-{folder.name}-{os.getpid()}"


def test_processes_die_with_the_kubelet_and_come_back(own: Any) -> None:
    cluster, processes = own
    create_namespace(cluster, "fate")
    mark = mark_of(cluster.folder)
    # The shell waits for a child of its own, so both the first process and what it started are seen.
    command = ["sh", "-c", f"sleep 1000; : {mark}"]
    create(cluster, "fate", deployment("web", 2, command))
    await_rollout(cluster, "fate", "web")
    leaders = processes_with(mark)
    assert len(leaders) == 2
    children = eventually(lambda: (all_of := [each for one in leaders for each in one.children()])[1:] and all_of)
    processes.stop("kubelet", signal.SIGKILL)
    eventually(lambda: not any(each.is_running() and each.status() != "zombie" for each in (*leaders, *children)))
    start_kubelet(cluster, processes, "127.91.3.0/24")
    eventually(lambda: len(processes_with(mark)) == 2)
    # Until the new kubelet has reported, the API shows what the dead one said last.
    eventually(lambda: [each["restartCount"] for each in _statuses(cluster, "fate")] == [1, 1])
    assert processes.stop("kubelet") == 0
    assert not processes_with(mark)
    start_kubelet(cluster, processes, "127.91.3.0/24")
    await_pods(cluster, "fate", "app=web", 2)


def test_the_cluster_survives_its_api_server(own: Any) -> None:
    cluster, processes = own
    create_namespace(cluster, "outage")
    create(cluster, "outage", deployment("web", 2))
    await_rollout(cluster, "outage", "web")
    before = get(cluster, "outage", "Deployment", "web")["metadata"]
    pods = {each["metadata"]["uid"] for each in await_pods(cluster, "outage", "app=web", 2)}
    processes.stop("apiserver", signal.SIGKILL)
    start_lab_apiserver(cluster, processes)
    after = get(cluster, "outage", "Deployment", "web")["metadata"]
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])
    cluster.kubectl("-n", "outage", "scale", "deployment/web", "--replicas=3")
    now = {each["metadata"]["uid"] for each in await_pods(cluster, "outage", "app=web", 3)}
    assert pods < now
    assert [each["restartCount"] for each in _statuses(cluster, "outage")] == [0, 0, 0]


def _statuses(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return [each["status"]["containerStatuses"][0] for each in get_all(cluster, namespace, "Pod")]


def test_every_program_ends_cleanly(own: Any) -> None:
    _, processes = own
    assert [processes.stop(name) for name in ("kubelet", "controllers", "apiserver")] == [0, 0, 0]
