"""The platform's programs as the tests handle them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families


def holds_for(seconds: float, condition: Callable[[], bool]) -> None:
    """Look again and again, and fail when the condition does not hold."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.25)


@dataclass
class Program:
    """A program of the platform, run as the kubelet would."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]

    def url(self, path: str) -> str:
        """Where it serves."""
        return f"http://{self.address}:8082{path}"

    def get(self, path: str) -> httpx.Response:
        """Ask it."""
        return httpx.get(self.url(path), timeout=5, trust_env=False)

    def ready(self) -> bool:
        """Whether it says that it is."""
        try:
            return self.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        assert samples, f"no metric {name}"
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def lines(self) -> list[str]:
        """What it wrote."""
        return self.log.read_text().splitlines()

    def end(self, signum: int = signal.SIGTERM) -> float:
        """End it, and say how long that took."""
        begun = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(10)
        return time.monotonic() - begun


class Start(Protocol):
    """Starts a program."""

    def __call__(self, module: str, pod: str | None = None, **environment: str) -> Program:
        """Start a module of the platform in a pod of that name, with these settings."""
