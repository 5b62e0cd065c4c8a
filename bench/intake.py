"""How many alerts the intake takes, beside Prefect's own door for events in the same run.

Both get the same number of alerts, one per request, from one client and from eight; what the intake answered is in
the ledger, on the disk, and what Prefect answered with 204 need not be stored yet. Then a steady stream, with the
time to each answer.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from bench.progress import progress
from deployments.practice import save_like
from deployments.stack import Addresses, Stack
from flows.message_bus.platform import MessageBus

SITES = 50
Send = Callable[[httpx.Client, int], httpx.Response]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many alerts were taken in a second, and how many were not taken."""

    what: str
    clients: int
    alerts: int
    per_second: float
    refused: int


@dataclass(frozen=True, slots=True)
class Steady:
    """A steady stream: what was asked and what came of it, times in milliseconds."""

    asked_per_second: float
    alerts: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of one run."""

    rates: tuple[Rate, ...]
    steady: Steady

    @property
    def ratios(self) -> dict[str, float]:
        """The intake's rate over Prefect's, with as many clients."""
        found = {(rate.what, rate.clients): rate.per_second for rate in self.rates}
        return {
            f"{n} clients": found["intake", n] / found["Prefect", n] for n in sorted({r.clients for r in self.rates})
        }


def measure(alerts: int = 5_000, steady_rate: float = 100, steady_seconds: float = 20) -> Result:
    """Starts a Prefect server and an intake in a folder of their own, and ends them."""
    progress("starting a Prefect server and an intake")
    with TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            with stack.entered() as at:
                stack.start_server()
                save_sites()
                stack.start_intake()
                stack.await_intake()
                return _measure(at, alerts, steady_rate, steady_seconds)
        finally:
            stack.stop()


def save_sites() -> None:
    """Sites that the alerts are about. Nothing of them is there: no run is started."""
    MessageBus(namespace="bus-0", alert_labels={"site": "site-0"}).save("site-0")
    others = range(1, SITES)
    save_like("site-0", {f"site-{n}": {"namespace": f"bus-{n}", "alert_labels": {"site": f"site-{n}"}} for n in others})


def _measure(at: Addresses, alerts: int, steady_rate: float, steady_seconds: float) -> Result:
    doors: dict[str, Send] = {"intake": _to_intake(at), "Prefect": _to_prefect(at)}
    rates = [_burst(what, send, clients, alerts) for clients in (1, 8) for what, send in doors.items()]
    progress(f"a steady stream of {steady_rate:g}/s for {steady_seconds:g} s")
    return Result(tuple(rates), _steady(doors["intake"], steady_rate, steady_seconds))


def _to_intake(at: Addresses) -> Send:
    def send(client: httpx.Client, number: int) -> httpx.Response:
        labels = {"alertname": "HighTaskQueueDepth", "site": f"site-{number % SITES}", "pod": f"pod-{number}"}
        alert = {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}
        body = {"version": "4", "alerts": [alert]}
        return client.post(at.webhook.url, json=body, headers={"Authorization": f"Bearer {at.token}"})

    return send


def _to_prefect(at: Addresses) -> Send:
    def send(client: httpx.Client, number: int) -> httpx.Response:
        event: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "bench.alert",
            "resource": {"prefect.resource.id": f"bench.alert.{number % SITES}", "pod": f"pod-{number}"},
            "related": [],
            "payload": {},
        }
        return client.post(f"{at.api}/events", json=[event])

    return send


def _burst(what: str, send: Send, clients: int, alerts: int) -> Rate:
    numbers = count()

    def work(_: int) -> int:
        refused = 0
        with httpx.Client(timeout=60) as client:
            while (number := next(numbers)) < alerts:
                refused += not send(client, number).is_success
        return refused

    progress(f"{alerts:,} alerts from {clients} {'client' if clients == 1 else 'clients'} to {what}")
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        refused = sum(pool.map(work, range(clients)))
    return Rate(what, clients, alerts, (alerts - refused) / (time.monotonic() - began), refused)


def _steady(send: Send, per_second: float, seconds: float) -> Steady:
    began, times = time.monotonic(), []
    alerts = int(per_second * seconds)
    with httpx.Client(timeout=60) as client:
        for number in range(alerts):
            due = began + number / per_second
            time.sleep(max(0.0, due - time.monotonic()))
            send(client, number).raise_for_status()
            times.append((time.monotonic() - due) * 1000)  # from when it was due: waiting for its turn counts
    cuts = quantiles(times, n=100)
    return Steady(per_second, alerts, cuts[49], cuts[94], cuts[98])


def table(result: Result) -> Sequence[Sequence[str]]:
    """The figures as rows: what, how much, beside what."""
    rows = [
        (f"alerts taken from {r.clients} clients: {r.what}", f"{r.per_second:,.0f}/s", f"{r.refused} refused")
        for r in result.rates
    ]
    rows += [(f"intake over Prefect, {clients}", f"{ratio:.1f} x", "") for clients, ratio in result.ratios.items()]
    s = result.steady
    times = f"p50 {s.p50:.1f} ms, p95 {s.p95:.1f} ms, p99 {s.p99:.1f} ms"
    return [*rows, (f"steady stream of {s.asked_per_second:g}/s", times, f"{s.alerts} alerts")]
