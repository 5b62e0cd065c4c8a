"""`python exporter.py COUNT`: pods that export metrics, each on a port of its own, and do what their owner says.

Prints the ports as JSON on its first line. Then it reads one order per line, `{"pod": 0, "do": ..., ...}`, carries it
out and answers with a line. The numbers are kept by prometheus_client, as a real service would keep them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.1, 0.5, 1.0, 5.0)
TICK = 0.05


class Pod:
    """One process of a service, as its metrics show it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new process: nothing is exported, and counters begin at 0 again."""
        self.registry = CollectorRegistry()
        self.series: dict[str, Any] = {}
        self.drives: dict[str, float] = {}
        self.habits: dict[str, list[float]] = {}
        self.stamped = False
        self.frozen: bytes | None = None
        self.down = False

    def _named(self, kind: Any, name: str, labels: dict[str, str], **options: Any) -> Any:
        if name not in self.series:
            self.series[name] = kind(name, f"HELP of {name} 12 tasks", list(labels), registry=self.registry, **options)
        return self.series[name].labels(**labels) if labels else self.series[name]

    def set(self, name: str, value: float, labels: dict[str, str]) -> None:
        """The value of a gauge."""
        self._named(Gauge, name, labels).set(value)

    def drive(self, name: str, per_second: float, kind: str) -> None:
        """A counter (or a gauge) that grows steadily from now on."""
        self._named(Counter if kind == "counter" else Gauge, name, {})
        self.drives[name] = per_second

    def observe(self, name: str, values: list[float], steadily: bool = False) -> None:
        """Observations of a histogram, once or at every tick."""
        histogram = self._named(Histogram, name, {}, buckets=BUCKETS)
        for value in values:
            histogram.observe(value)
        if steadily:
            self.habits[name] = values

    def drop(self, name: str) -> None:
        """The series is exported no longer."""
        self.drives.pop(name, None)
        if name in self.series:
            self.registry.unregister(self.series.pop(name))

    def stamp(self) -> None:
        """From now on every sample says when it was taken, as those of a cache or a gateway do.

        To Prometheus a series that begins to carry its own time, or leaves off, is a break: it is for series that are
        exported in no other way, before or after.
        """
        self.stamped = True

    def freeze(self) -> None:
        """The same samples, with the moment at which they were taken, from now on: a cache that hangs."""
        self.frozen = self.text()

    def text(self) -> bytes:
        """What a scrape gets."""
        if self.frozen is not None:
            return self.frozen
        text = generate_latest(self.registry)
        if not self.stamped:
            return text
        stamp = f" {int(time.time() * 1000)}"
        lines = text.decode().splitlines()
        return "".join(line + ("" if line.startswith("#") else stamp) + "\n" for line in lines).encode()

    def thaw(self) -> None:
        """Live samples again."""
        self.frozen = None

    def stop(self) -> None:
        """Scrapes are answered with an error."""
        self.down = True

    def tick(self, seconds: float) -> None:
        """What has grown since the last tick."""
        for name, per_second in list(self.drives.items()):
            self.series[name].inc(per_second * seconds)
        for name, values in self.habits.items():
            self.observe(name, values)


def _serve(pod: Pod) -> int:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pod.text()
            self.send_response(503 if pod.down else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"no" if pod.down else body)

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def _tick(pods: list[Pod], lock: threading.Lock) -> None:
    last = time.monotonic()
    while True:
        time.sleep(TICK)
        now = time.monotonic()
        with lock:
            for pod in pods:
                pod.tick(now - last)
        last = now


def main() -> None:
    pods = [Pod() for _ in range(int(sys.argv[1]))]
    lock = threading.Lock()
    sys.stdout.write(json.dumps([_serve(pod) for pod in pods]) + "\n")
    sys.stdout.flush()
    threading.Thread(target=_tick, args=(pods, lock), daemon=True).start()
    for line in sys.stdin:
        order = json.loads(line)
        with lock:
            getattr(pods[order.pop("pod")], order.pop("do"))(**order)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
