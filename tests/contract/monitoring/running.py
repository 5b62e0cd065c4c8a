"""The real Prometheus and Alertmanager of these tests, and the pods that they watch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from flows.message_bus.platform import MessageBus
from lab.plain_http import TRUSTS_NOBODY
from lab.servers import alertmanager_command, prometheus_command
from tasks.platform import Pace
from tasks.systems.exposition import Endpoints
from tasks.systems.prometheus import Prometheus
from tests.contract.servers import answers, free_port, need, running
from tests.waiting import wait_for

OURS, OTHERS = "bus", "elsewhere"  # namespaces: the site of the tests, and another one at the same Prometheus
SCRAPE = timedelta(milliseconds=250)  # many looks in little time; nothing else differs from a site's own
WINDOW = timedelta(seconds=2)
STALE = timedelta(seconds=2)

RULES = {
    "groups": [
        {
            "name": "tests",
            "rules": [
                {
                    "alert": "HighTaskQueueDepth",
                    "expr": "max by (namespace) (orchestration_task_queue_pending) > 800",
                    "labels": {"severity": "warning"},
                },
                {
                    "alert": "CriticalTaskQueueDepth",
                    "expr": "max by (namespace) (orchestration_task_queue_pending) > 950",
                    "labels": {"severity": "critical"},
                },
                {
                    "alert": "WorkerPoolExhaustion",
                    "expr": "max by (namespace) (orchestration_task_queue_pending)"
                    " * (sum by (namespace) (orchestration_worker_pool_active)"
                    " >= bool sum by (namespace) (orchestration_worker_pool_max)) > 50",
                    "labels": {"severity": "warning"},
                },
                {
                    "alert": "HeldBack",
                    "expr": "max by (namespace) (orchestration_task_queue_pending) > 800",
                    "for": "1h",
                },
                {"alert": "AggregatedAway", "expr": "max(orchestration_task_queue_pending) > 800"},
                {"alert": "Broken", "expr": "orchestration_task_queue_pending / on() orchestration_task_queue_pending"},
            ],
        }
    ]
}


class Pods:
    """Pods that export metrics, in a process of their own. The first ones are ours, the last one is another site's."""

    def __init__(self, count: int) -> None:
        program = Path(__file__).with_name("exporter.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ports: list[int] = json.loads(self._answer())
        self.ours = tuple(range(count - 1))
        self.other = count - 1

    def do(self, what: str, pods: Iterable[int] | None = None, **details: Any) -> None:
        """Has an order carried out by these pods: by ours, when none are named."""
        assert self._process.stdin is not None
        for pod in self.ours if pods is None else pods:
            self._process.stdin.write(json.dumps({"pod": pod, "do": what, **details}) + "\n")
            self._process.stdin.flush()
            assert self._answer() == "done\n"

    def set(self, name: str, value: float, pods: Iterable[int] | None = None, **labels: str) -> None:
        """The value of a gauge."""
        self.do("set", pods, name=name, value=value, labels=labels)

    def addresses(self, pods: Iterable[int] | None = None) -> list[str]:
        """Where these pods are scraped: ours, when none are named."""
        return [f"http://127.0.0.1:{self.ports[pod]}/metrics" for pod in (self.ours if pods is None else pods)]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass(frozen=True)
class Monitoring:
    """A Prometheus that scrapes the pods, and its Alertmanager."""

    prometheus_url: str
    alertmanager_url: str
    targets: Path
    pods: Pods

    def prometheus(self) -> Prometheus:
        """As a site's tasks reach it."""
        return Prometheus(self.prometheus_url, (("namespace", OURS),))

    def endpoints(self) -> Endpoints:
        """Our pods without Prometheus."""
        return Endpoints(self.pods.addresses)

    def site(self, **settings: Any) -> MessageBus:
        """A site with this monitoring, at the pace of these tests."""
        pace = Pace(
            poll_seconds=0.2,
            settle_seconds=1,
            stale_after_seconds=STALE.total_seconds(),
            window_seconds=WINDOW.total_seconds(),
            quick_check_minutes=1,
            verify_minutes=1,
        )
        values: dict[str, Any] = {
            "namespace": OURS,
            "context": "somewhere",
            "prometheus_url": self.prometheus_url,
            "prometheus_labels": {"namespace": OURS},
            "alertmanager_url": self.alertmanager_url,
            "alert_labels": {"namespace": OURS},
            "pace": pace,
        }
        return MessageBus(**{**values, **settings})

    def scrape(self, pods: Iterable[int] | None = None) -> None:
        """Has Prometheus scrape these pods from now on: all, when none are named."""
        every = (*self.pods.ours, self.pods.other) if pods is None else tuple(pods)
        groups = [
            {
                "targets": [f"127.0.0.1:{self.pods.ports[pod]}"],
                "labels": {"namespace": OURS if pod in self.pods.ours else OTHERS, "pod": f"pod-{pod}"},
            }
            for pod in every
        ]
        text = json.dumps(groups)
        if self.targets.read_text() == text:
            return  # Prometheus takes five seconds to take up a change
        new = self.targets.with_suffix(".new")
        new.write_text(text)
        new.replace(self.targets)

    def query(self, promql: str) -> list[float]:
        """The values that Prometheus gives now."""
        url = f"{self.prometheus_url}/api/v1/query"
        answer = httpx.get(url, params={"query": promql}, trust_env=False, verify=TRUSTS_NOBODY).json()
        return [float(each["value"][1]) for each in answer["data"]["result"]]

    def await_query(self, promql: str, *values: float) -> None:
        """Until Prometheus gives exactly these values."""
        # New targets take Prometheus up to five seconds, and a busy machine more.
        wait_for(f"{promql} is {values}", lambda: sorted(self.query(promql)) == sorted(values), 30)


@contextmanager
def start_monitoring(folder: Path) -> Iterator[Monitoring]:
    """The servers and the pods, ended with the block."""
    need("prometheus", "prometheus")
    need("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
    targets, rules = folder / "targets.json", folder / "rules.yml"
    targets.write_text("[]")
    rules.write_text(yaml.safe_dump(RULES))
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    commands = [
        prometheus_command(
            folder / "prometheus", ports[0], targets=targets, alertmanager_url=urls[1], rule_files=[rules], every=SCRAPE
        ),
        alertmanager_command(folder / "alertmanager", ports[1], None),
    ]
    with ExitStack() as stack:
        for command, url in zip(commands, urls, strict=True):
            log = folder / f"{Path(command[0]).name}.log"
            stack.enter_context(running(command, log, partial(answers, f"{url}/-/ready")))
        pods = Pods(4)
        stack.callback(pods.close)
        yield Monitoring(urls[0], urls[1], targets, pods)
