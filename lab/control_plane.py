"""How the ground's cluster is started, and who may do what in it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.cluster import ClusterAccess
from lab.files import write_whole

PEOPLE = ("admin", "operator", "viewer")
"""The contexts of the kubeconfig that is handed out."""

_USERS: Mapping[str, tuple[str, str]] = {
    "admin": ("admin", "system:masters"),
    # The account of the automation: what it may do is what an operator may.
    "operator": ("runbooks", "operators"),
    "viewer": ("viewer", "viewers"),
    "prometheus": ("prometheus", "viewers"),
    "ground": ("system:ground", "system:masters"),
    "controllers": ("system:kube-controller-manager", "system:masters"),
    "kubelet": ("system:node:ground", "system:masters"),
}


@dataclass(frozen=True)
class ControlPlane:
    """The files of a cluster in a folder of its own, and the commands of its processes."""

    folder: Path
    port: int
    tokens: Mapping[str, str]

    @classmethod
    def prepare(cls, folder: Path, port: int, namespace: str) -> ControlPlane:
        """Write tokens and kubeconfigs for a new cluster whose API server listens on `port`."""
        folder.mkdir(parents=True)
        plane = cls(folder, port, {role: secrets.token_hex(16) for role in _USERS})
        rows = [f'{plane.tokens[role]},{user},{user},"{group}"\n' for role, (user, group) in _USERS.items()]
        write_whole(plane._tokens_file, "".join(rows))
        write_whole(plane.kubeconfig, plane._kubeconfig_for(PEOPLE, namespace))
        for component in ("controllers", "kubelet"):
            write_whole(plane._component_kubeconfig(component), plane._kubeconfig_for((component,), namespace))
        return plane

    def access(self, role: str) -> ClusterAccess:
        """What a program of the ground needs to talk to the cluster in a role."""
        return ClusterAccess(url=self.url, certificate=self.certificate, token=self.tokens[role])

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The API server's certificate; it makes it when it first starts."""
        return self.folder / "state" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig for people and automations, with the contexts `PEOPLE`."""
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Every write that reached the API server."""
        return self.folder / "audit.log"

    @property
    def targets(self) -> Path:
        """What Prometheus has to scrape."""
        return self.folder / "targets.json"

    def ready_file(self, component: str) -> Path:
        """What a component of the cluster touches when it is ready."""
        return self.folder / f"{component}.ready"

    def apiserver_command(self) -> list[str]:
        """How to start the API server."""
        options = {
            "--port": str(self.port),
            "--state": str(self.folder / "state"),
            "--audit-log": str(self.audit_log),
            "--tokens": str(self._tokens_file),
            "--ready-file": str(self.ready_file("apiserver")),
        }
        return _module("kubernetes.apiserver", options)

    def controllers_command(self) -> list[str]:
        """How to start the controllers; the autoscaler looks every second, a cure should not wait longer for it."""
        return _module(
            "kubernetes.controllers", {**self._component_options("controllers"), "--autoscaler-sync-period": "1"}
        )

    def kubelet_command(self) -> list[str]:
        """How to start the kubelet. Its pods find the lab's programs, and the interpreter that runs this."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
        options = {
            **self._component_options("kubelet"),
            "--root": str(self.folder / "kubelet"),
            "--pod-subnet": self._pod_subnet(),
        }
        environment = [f"PATH={programs}", f"PYTHONPATH={Path(__file__).parent.parent}"]
        return _module("kubernetes.kubelet", options) + [word for setting in environment for word in ("--env", setting)]

    def discovery_command(self, namespace: str) -> list[str]:
        """How to start the program that tells Prometheus the pods of a namespace."""
        access = self.folder / "discovery.json"
        write_whole(access, self.access("prometheus").model_dump_json())
        options = {"--access": str(access), "--namespace": namespace, "--output": str(self.targets)}
        return _module("discovery", options)

    def _pod_subnet(self) -> str:
        """A network of the loopback device's that no other ground on this machine uses: told by the folder's name."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode()).digest()
        return f"127.{64 + digest[0] % 128}.{digest[1]}.0/24"

    def _component_options(self, component: str) -> dict[str, str]:
        return {
            "--kubeconfig": str(self._component_kubeconfig(component)),
            "--ready-file": str(self.ready_file(component)),
        }

    def _component_kubeconfig(self, component: str) -> Path:
        return self.folder / f"{component}.kubeconfig"

    @property
    def _tokens_file(self) -> Path:
        return self.folder / "tokens.csv"

    def _kubeconfig_for(self, roles: tuple[str, ...], namespace: str) -> str:
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        contexts = [
            {"name": role, "context": {"cluster": "ground", "user": role, "namespace": namespace}} for role in roles
        ]
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "ground", "cluster": cluster}],
                "users": [{"name": role, "user": {"token": self.tokens[role]}} for role in roles],
                "contexts": contexts,
                "current-context": roles[0],
            },
            sort_keys=False,
        )


def _module(name: str, options: Mapping[str, str]) -> list[str]:
    words = (word for option in options.items() for word in option)
    return [sys.executable, "-m", f"lab.{name}", *words]
