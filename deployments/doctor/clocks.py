"""Clocks: how far the others' are from ours, by their own answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.doctor.ledger import opened
from tasks.model.evidence import UnknownReading
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.prefect import get_client
from tasks.systems.prometheus import Prometheus

TOLERANCE = timedelta(seconds=5)

APART = Kind(
    "clocks-apart",
    Health.BROKEN,
    "response times, restarts and the age of tasks are told by several clocks: people are called early or late, a "
    "restart passes for made or is made twice",
    "keep time on both hosts: timedatectl set-ntp true",
)
KINDS = (APART,)

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a clock is ahead of ours, give or take `give`: the way of the answer, and what it leaves out."""

    ahead: timedelta
    give: timedelta

    @property
    def tolerable(self) -> bool:
        return abs(self.ahead) - self.give <= TOLERANCE


def compare(ask: Callable[[], datetime], coarse: timedelta = timedelta(0)) -> Offset:
    """Asks a clock for its time. `coarse` is what it cuts off: a Date header says the second that has begun.

    Raises:
        Exception: as `ask` does.
    """
    sent = datetime.now(UTC)
    theirs = ask() + coarse / 2
    received = datetime.now(UTC)
    return Offset(theirs - (sent + (received - sent) / 2), (received - sent + coarse) / 2)


def judge(whose: str, offset: Offset, site: str = "") -> Iterable[Finding]:
    """Whether a clock is near enough to ours."""
    seconds, give = offset.ahead / _SECOND, offset.give / _SECOND
    seen = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} ours, give or take {give:.1f} s"
    what = f"clock of {whose}"
    yield fine(what, seen, site) if offset.tolerable else APART.found(what, seen, site)


def date(headers: Mapping[str, str]) -> datetime:
    """The time of an HTTP answer, to the second.

    Raises:
        UnknownReading: it says none.
    """
    said = next((value for name, value in headers.items() if name.lower() == "date"), None)
    if said is None:
        raise UnknownReading("the answer has no Date header")
    return parsedate_to_datetime(said)


def of_prefect() -> Offset:
    """The Prefect server's."""
    with get_client(sync_client=True) as client:
        client.request("GET", "/health")  # connected already, the answer is quicker
        return compare(lambda: date(client.request("GET", "/health").headers), _SECOND)


def of_kubernetes(cluster: Cluster) -> Offset:
    """The API server's."""

    def ask() -> datetime:
        _, _, headers = cluster.version.get_code_with_http_info(_request_timeout=cluster.timeout)
        return date(headers)

    ask()
    return compare(ask, _SECOND)


def of_prometheus(prometheus: Prometheus) -> Offset:
    """Prometheus's, by which samples are fresh or stale."""

    def ask() -> datetime:
        return datetime.fromtimestamp(float(prometheus.get("/api/v1/query", {"query": "time()"})["result"][1]), UTC)

    ask()
    return compare(ask)


def of_ledger(url: str) -> Offset:
    """The database's, by which leases run out. A SQLite file has ours."""
    with opened(url) as ledger:
        ledger.now()
        return compare(ledger.now)
