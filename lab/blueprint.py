"""What a ground consists of: which processes, on which ports, and how they find each other."""

from __future__ import annotations

import shutil
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab import servers
from lab.control_plane import PEOPLE, ControlPlane
from lab.message_bus import manifests
from lab.model import Endpoints, GroundError, Webhook
from lab.program import Program


@dataclass(frozen=True)
class Wishes:
    """What whoever brings a ground up may choose."""

    alert_webhook: Webhook | None
    rule_files: tuple[Path, ...]
    observability: bool

    @classmethod
    def check(cls, alert_webhook: Webhook | None, rule_files: tuple[Path, ...], observability: bool | None) -> Wishes:
        """Fill in what was left open.

        Raises:
            GroundError: a rule file or a program does not exist.
        """
        installed = servers.find_prometheus() is not None and servers.find_alertmanager() is not None
        if observability and not installed:
            raise GroundError("Prometheus is missing: apt install prometheus prometheus-alertmanager")
        for path in rule_files:
            if not path.is_file():
                raise GroundError(f"there is no rule file {path}")
        rules = tuple(path.resolve() for path in rule_files)
        return cls(alert_webhook, rules, installed if observability is None else observability)


@dataclass(frozen=True)
class Blueprint:
    """A ground to be built."""

    plane: ControlPlane
    endpoints: Endpoints
    programs: tuple[Program, ...]

    @classmethod
    def draw(cls, state: Path, wishes: Wishes) -> Blueprint:
        """Choose ports, and write every configuration into the folder `state`, over those of the last time.

        Raises:
            GroundError: a program is missing.
        """
        redis_port, api_port, prometheus_port, alertmanager_port = _free_ports(4)
        for leftover in ("cluster", "message-bus", "redis", "prometheus", "alertmanager"):
            shutil.rmtree(state / leftover, ignore_errors=True)
        (state / "message-bus").mkdir(parents=True)
        plane = ControlPlane.prepare(state / "cluster", api_port, manifests.NAMESPACE)
        endpoints = Endpoints(
            kubeconfig=plane.kubeconfig,
            contexts=PEOPLE,
            namespace=manifests.NAMESPACE,
            redis_url=f"redis://127.0.0.1:{redis_port}/0",
            prometheus_url=f"http://127.0.0.1:{prometheus_port}" if wishes.observability else None,
            alertmanager_url=f"http://127.0.0.1:{alertmanager_port}" if wishes.observability else None,
            audit_log=plane.audit_log,
            admin_audit_log=state / "message-bus" / "admin-audit.log",
        )
        redis = servers.redis_command(state / "redis", redis_port)
        programs = [
            Program(name="redis", command=redis, redis_url=endpoints.redis_url),
            *(
                Program(name=name, command=command, ready_file=plane.ready_file(name))
                for name, command in (
                    ("apiserver", plane.apiserver_command()),
                    ("controllers", plane.controllers_command()),
                    ("kubelet", plane.kubelet_command()),
                )
            ),
        ]
        if endpoints.prometheus_url and endpoints.alertmanager_url:
            alertmanager = servers.alertmanager_command(state / "alertmanager", alertmanager_port, wishes.alert_webhook)
            prometheus = servers.prometheus_command(
                state / "prometheus",
                prometheus_port,
                targets=plane.targets,
                alertmanager_url=endpoints.alertmanager_url,
                rule_files=wishes.rule_files,
            )
            programs += [
                Program(name="discovery", command=plane.discovery_command(manifests.NAMESPACE)),
                _with_ready_page("alertmanager", alertmanager, endpoints.alertmanager_url),
                _with_ready_page("prometheus", prometheus, endpoints.prometheus_url),
            ]
        return cls(plane, endpoints, tuple(programs))


def _with_ready_page(name: str, command: list[str], url: str) -> Program:
    return Program(name=name, command=command, ready_page=f"{url}/-/ready")


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
