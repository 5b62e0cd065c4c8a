"""The clusters that the conformance suite runs on: the lab's own, and a real control plane with the lab's kubelet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubernetes import client, config

from lab.kubernetes.apiserver.auth import ROLES
from tests.waiting import wait_for

USERS = {
    "admin": ("admin", "system:masters"),
    "operator": ("runbooks", "operators"),
    "viewer": ("viewer", "viewers"),
    "controllers": ("system:kube-controller-manager", "system:masters"),
    "kubelet": ("system:node:lab-node-1", "system:masters"),
}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "authorization.k8s.io"}, {"group": "authentication.k8s.io"}]},
        {"level": "Request"},
    ],
}


_CLIENT = httpx.Client(verify=False, timeout=20)  # noqa: S501 - the real server makes its certificate at its start


def eventually(probe: Callable[[], Any], within: float = 15.0, every: float = 0.05) -> Any:
    """The first true result of `probe`. Fails the test when there is none in time."""
    return wait_for("what the probe looks for", probe, within, every=every)


@dataclass(frozen=True)
class Cluster:
    """A running cluster and the ways in."""

    kind: str
    folder: Path
    server: str

    @property
    def is_real(self) -> bool:
        return self.kind == "real"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.folder / f"{user}.kubeconfig"

    def kubectl(
        self, *words: str, user: str = "admin", stdin: str = "", within: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        command = [
            "kubectl",
            "--kubeconfig",
            str(self.kubeconfig(user)),
            f"--cache-dir={self.folder / 'cache'}",
            *words,
        ]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=within, check=False)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        user: str = "admin",
        kind: str = "application/json",
        **query: str,
    ) -> httpx.Response:
        """A bare request; `kind` is the content type of the body, which is sent as JSON unless it is text."""
        content = body if isinstance(body, str | None) else json.dumps(body)
        headers = {"Authorization": f"Bearer {user}-token", "Content-Type": kind, "User-Agent": "conformance/1"}
        return _CLIENT.request(method, self.server + path, content=content, headers=headers, params=query or None)

    def api(self, kind: str, user: str = "admin") -> Any:
        """An API of the Python client by its class name, such as `CoreV1Api`."""
        return getattr(client, kind)(config.new_client_from_config(str(self.kubeconfig(user))))  # type: ignore[no-untyped-call]

    def audit(self, after: int = 0) -> list[dict[str, Any]]:
        """The audit records from a byte position on; one that was being written at either end is left out."""
        with self.audit_log.open("rb") as file:
            file.seek(max(0, after - 1))
            if after > 0 and file.read(1) != b"\n":
                file.readline()
            return [json.loads(line) for line in file if line.endswith(b"\n")]


class Processes:
    """The children of one cluster, ended by their pids in reverse order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            child = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children[name] = child
        return child

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """The exit code of a child that was asked to end."""
        child = self.children.pop(name)
        child.send_signal(number)
        try:
            return child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise

    def stop_all(self) -> None:
        for name in reversed(list(self.children)):
            self.stop(name)

    def tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def assets() -> Path:
    return Path(os.environ.get("KUBEBUILDER_ASSETS") or Path.home() / ".cache" / "kubebuilder-assets")


def missing_assets() -> str | None:
    """Why the real control plane cannot run, None when it can."""
    missing = [name for name in ("etcd", "kube-apiserver", "kube-controller-manager") if not (assets() / name).exists()]
    build = "tests/lab/kubernetes/control_plane/build"
    return f"no {', '.join(missing)} in {assets()}: run {build}, or set KUBEBUILDER_ASSETS" if missing else None


@contextlib.contextmanager
def lab_cluster(folder: Path, subnet: str) -> Iterator[tuple[Cluster, Processes]]:
    """API server, controllers and kubelet of the lab."""
    port = free_port()
    cluster = Cluster("lab", folder, f"https://127.0.0.1:{port}")
    processes = Processes(folder)
    _write_access(cluster, {"certificate-authority": str(folder / "state" / "apiserver.crt")})
    try:
        start_lab_apiserver(cluster, processes)
        controllers: list[str | Path] = [
            "--kubeconfig",
            cluster.kubeconfig("controllers"),
            "--ready-file",
            folder / "controllers.ready",
        ]
        timing = ["--autoscaler-sync-period", "1", "--autoscaler-downscale-stabilization", "1"]
        processes.start("controllers", sys.executable, "-m", "lab.kubernetes.controllers", *controllers, *timing)
        start_kubelet(cluster, processes, subnet)
        await_file(processes, "controllers", folder / "controllers.ready")
        yield cluster, processes
    finally:
        processes.stop_all()


def start_lab_apiserver(cluster: Cluster, processes: Processes) -> None:
    port = cluster.server.rpartition(":")[2]
    paths: list[str | Path] = [
        "--state",
        cluster.folder / "state",
        "--audit-log",
        cluster.audit_log,
        "--tokens",
        cluster.folder / "tokens.csv",
    ]
    processes.start("apiserver", sys.executable, "-m", "lab.kubernetes.apiserver", "--port", port, *paths)
    await_ready(cluster, processes, "apiserver")


def start_kubelet(cluster: Cluster, processes: Processes, subnet: str) -> None:
    ready = cluster.folder / "kubelet.ready"
    ready.unlink(missing_ok=True)
    options: list[str | Path] = [
        "--kubeconfig",
        cluster.kubeconfig("kubelet"),
        "--root",
        cluster.folder / "kubelet",
        "--pod-subnet",
        subnet,
    ]
    path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    tuning: list[str | Path] = [
        "--env",
        path,
        "--crash-backoff-base",
        "1",
        "--metrics-window",
        "2",
        "--ready-file",
        ready,
    ]
    processes.start("kubelet", sys.executable, "-m", "lab.kubernetes.kubelet", *options, *tuning)
    await_file(processes, "kubelet", ready)


@contextlib.contextmanager
def real_cluster(folder: Path, subnet: str) -> Iterator[tuple[Cluster, Processes]]:
    """etcd, kube-apiserver and kube-controller-manager, with the lab's kubelet."""
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    cluster = Cluster("real", folder, f"https://127.0.0.1:{port}")
    processes = Processes(folder)
    _write_access(cluster, {"insecure-skip-tls-verify": True})
    (folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    try:
        _start_etcd(processes, folder, etcd_port, peer_port)
        _start_kube_apiserver(cluster, processes, etcd_port, key)
        _grant_roles(cluster)
        _start_kube_controller_manager(cluster, processes, key)
        start_kubelet(cluster, processes, subnet)
        metrics = "/apis/metrics.k8s.io/v1beta1/nodes"
        eventually(lambda: cluster.kubectl("get", "--raw", metrics).returncode == 0, within=30)
        yield cluster, processes
    finally:
        processes.stop_all()


def _start_etcd(processes: Processes, folder: Path, port: int, peer_port: int) -> None:
    client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    processes.start(
        "etcd",
        assets() / "etcd",
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
    )


def _start_kube_apiserver(cluster: Cluster, processes: Processes, etcd_port: int, key: Path) -> None:
    processes.start(
        "kube-apiserver",
        assets() / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={cluster.server.rpartition(':')[2]}",
        "--insecure-port=0",
        f"--cert-dir={cluster.folder / 'certs'}",
        f"--token-auth-file={cluster.folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={cluster.folder / 'audit-policy.yaml'}",
        f"--audit-log-path={cluster.audit_log}",
        "--audit-log-mode=blocking",
    )
    await_ready(cluster, processes, "kube-apiserver")


def _start_kube_controller_manager(cluster: Cluster, processes: Processes, key: Path) -> None:
    processes.start(
        "kube-controller-manager",
        assets() / "kube-controller-manager",
        f"--kubeconfig={cluster.kubeconfig('controllers')}",
        "--leader-elect=false",
        "--port=0",
        "--secure-port=0",
        f"--service-account-private-key-file={key}",
        "--controllers=*,-ttl,-bootstrapsigner,-tokencleaner",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=1s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
    )


def _grant_roles(cluster: Cluster) -> None:
    """The lab's roles as ClusterRoles, each bound to the group of its name."""
    documents: list[dict[str, Any]] = []
    for group, rules in ROLES.items():
        kinds = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": f"lab-{group}"}}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"lab-{group}"}
        documents.append({"kind": "ClusterRole", **kinds, "rules": [rule.document() for rule in rules]})
        documents.append({"kind": "ClusterRoleBinding", **kinds, "subjects": [subject], "roleRef": reference})
    done = cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert done.returncode == 0, done.stderr


def await_ready(cluster: Cluster, processes: Processes, name: str, within: float = 60.0) -> None:
    """Until `/readyz` answers 200."""

    def is_ready() -> bool:
        assert processes.children[name].poll() is None, processes.tail(name)
        try:
            return _CLIENT.get(f"{cluster.server}/readyz", timeout=2).is_success
        except httpx.HTTPError:
            return False

    eventually(is_ready, within)


def await_file(processes: Processes, name: str, path: Path, within: float = 30.0) -> None:
    def exists() -> bool:
        assert processes.children[name].poll() is None, processes.tail(name)
        return path.exists()

    eventually(exists, within)


def _write_access(cluster: Cluster, trust: dict[str, Any]) -> None:
    rows = [f'{user}-token,{name},{user},"{group}"\n' for user, (name, group) in USERS.items()]
    (cluster.folder / "tokens.csv").write_text("".join(rows))
    for user in (*USERS, "stranger"):
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": cluster.server, **trust}}],
            "users": [{"name": user, "user": {"token": f"{user}-token"}}],
            "contexts": [{"name": user, "context": {"cluster": "c", "user": user, "namespace": "default"}}],
            "current-context": user,
        }
        cluster.kubeconfig(user).write_text(yaml.safe_dump(document))
