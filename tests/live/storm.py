"""Many message buses for a storm of alerts: real Deployments in namespaces of their own, with one exporter for all.

The queue of a bus overflows until its orchestration Deployment wants 5 replicas, whoever asks for them; then it drains.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.practice import PACE, SITE, practice_site, save_like
from deployments.rules import rules
from flows.message_bus.platform import MessageBus
from lab.cluster import Cluster
from lab.kubernetes.objects import Object
from lab.servers import prometheus_command
from lab.state import State
from tests.contract.servers import answers, free_port, running
from tests.live.conftest import HTTP, World

ENOUGH = 5
OVERFLOWING, DRAINED = 900, 10
_SERIES = """\
orchestration_task_queue_pending{{namespace="{name}",pod="a"}} {pending}
orchestration_task_queue_running{{namespace="{name}",pod="a"}} 20
orchestration_tasks_completed_total{{namespace="{name}",pod="a"}} {completed}
orchestration_worker_pool_active{{namespace="{name}",pod="a"}} {active}
orchestration_worker_pool_max{{namespace="{name}",pod="a"}} 20
orchestration_task_duration_seconds_bucket{{namespace="{name}",pod="a",le="+Inf"}} {completed}
"""


def _deployment(namespace: str, replicas: int = 2) -> Object:
    labels = {"app": "orchestration"}
    container = {"name": "orchestration", "image": "idle:1", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orchestration", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }


class Buses:
    """Message buses in namespaces of their own. Each is a site of the same name that answers to `site`."""

    def __init__(self, cluster: Cluster, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._cluster = cluster
        self._pending = dict.fromkeys(names, OVERFLOWING)
        self._over = threading.Event()
        self._looks = 0

    def make(self) -> None:
        """Makes the Deployments, and waits until their pods are ready."""
        for name in self.names:
            self._cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            self._cluster.create(_deployment(name))

    @property
    def settled(self) -> bool:
        """Whether every Deployment has the pods that it wants."""
        return all(self._cluster.settled(_deployment(name)) for name in self.names)

    def replicas(self, name: str) -> int:
        """How many replicas a Deployment wants now."""
        live = self._cluster.find(_deployment(name))
        assert live is not None
        return int(live["spec"]["replicas"])

    def react(self) -> None:
        """Lets the queues follow their Deployments, until the storm is over."""
        while not self._over.wait(1.0):
            self._looks += 1
            for name in self.names:
                self._pending[name] = DRAINED if self.replicas(name) >= ENOUGH else self._pending[name]

    def end(self) -> None:
        """Nothing changes any more."""
        self._over.set()

    def remove(self) -> None:
        """Leaves no pod behind."""
        for name in self.names:
            self._cluster.replace(_deployment(name, 0))

    def exposition(self) -> str:
        """What a scrape gets."""
        return "".join(
            _SERIES.format(
                name=name,
                pending=pending,
                active=20 if pending == OVERFLOWING else 14,
                completed=1000 + 60 * self._looks,
            )
            for name, pending in self._pending.items()
        )


def settings_of(name: str, prometheus_url: str) -> dict[str, Any]:
    """In what the site of one of the buses differs from the practice ground's."""
    return {
        "namespace": name,
        "alert_labels": {"site": name},
        "prometheus_url": prometheus_url,
        "prometheus_labels": {"namespace": name},
        # Fifty targets' runs on two cores keep Prometheus from its scrapes for longer than the practice ground allows.
        "pace": PACE.model_copy(update={"stale_after_seconds": 30}).model_dump(mode="json"),
        "alertmanager_url": "",
        "contacts": [],
    }


@contextmanager
def storming(world: World, names: Sequence[str], folder: Path) -> Iterator[Buses]:
    """The buses with their Prometheus and their saved sites, until the block ends."""
    record = State(world.ground._state.folder).record.read()
    assert record is not None
    with ExitStack() as stack:
        cluster = Cluster(record.access)
        stack.callback(cluster.close)
        buses = Buses(cluster, names)
        buses.make()
        stack.callback(buses.remove)
        port, url = _export(stack, buses), f"http://127.0.0.1:{free_port()}"
        sites = {name: settings_of(name, url) for name in names}
        blocks = [practice_site(world.endpoints).model_copy(update=one) for one in sites.values()]
        command = _prometheus(folder, port, url, blocks)
        stack.enter_context(running(command, folder / "prometheus.log", lambda: answers(f"{url}/-/ready")))
        save_like(SITE, sites)
        for name in names:
            stack.callback(MessageBus.delete, name)
        reacting = threading.Thread(target=buses.react, daemon=True)
        reacting.start()
        stack.callback(reacting.join)
        stack.callback(buses.end)
        yield buses


def _export(stack: ExitStack, buses: Buses) -> int:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(buses.exposition().encode())

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    return int(server.server_address[1])


def _prometheus(folder: Path, port: int, url: str, sites: Sequence[MessageBus]) -> list[str]:
    files = []
    for block in sites:
        named = rules(block)
        named["groups"][0]["name"] = block.namespace
        files.append(folder / f"{block.namespace}.rules.yml")
        files[-1].write_text(yaml.safe_dump(named))
    targets = folder / "targets.json"
    targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"]}]))
    return prometheus_command(folder, int(url.rsplit(":", 1)[1]), targets=targets, rule_files=files)


def post_until_taken(url: str, token: str, batch: object, seconds: float) -> int:
    """Posts a batch as Alertmanager does: what is not answered, or answered with 5xx, is sent again. Says how often."""
    deadline = threading.Event()
    tries = 0
    timer = threading.Timer(seconds, deadline.set)
    timer.start()
    try:
        while not deadline.is_set():
            tries += 1
            try:
                answer = HTTP.post(url, json=batch, headers={"Authorization": f"Bearer {token}"}, timeout=10)
            except httpx.TransportError:
                deadline.wait(0.5)
                continue
            if answer.status_code == 200:
                return tries
            assert answer.status_code >= 500, answer.text
            deadline.wait(0.5)
    finally:
        timer.cancel()
    raise AssertionError(f"not taken within {seconds:g} s")
