"""Many incidents open at once, and a critical one behind them: how long each waits for its run.

All sites are the same healthy practice ground under other names, so every run diagnoses and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.installation import Installation, installed
from bench.latency import first_probe, post, trial
from bench.progress import progress
from bench.table import Measured, Table
from deployments.practice import SITE, save_like
from tests.waiting import wait_for

TITLE = "crowd: from the webhook's call to the run's first probe, while {} incidents are open on one worker"
SENDERS = 8
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Call:
    """One alert at the intake, and when it was sent."""

    at: datetime
    incident: str


def measure(incidents: int) -> Table:
    """So many ordinary incidents, and one critical after all of them."""
    progress("starting everything")
    with installed() as at:
        names = [f"crowd-{number:03}" for number in range(incidents + 1)]
        save_sites(at, names)
        at.stack.start_worker()
        trial(at)  # warms up
        *ordinary, last = names
        progress(f"{incidents} incidents at once")
        with ThreadPoolExecutor(SENDERS) as senders:
            calls = list(senders.map(lambda name: call(at, name, "HighTaskQueueDepth"), ordinary))
        critical = call(at, last, "CriticalTaskQueueDepth")
        waited = []
        for number, one in enumerate((critical, *calls)):
            waited.append(waited_for(at, one))
            progress(f"{number + 1} of {incidents + 1} have their run; this one waited {waited[-1]:.1f} s")
    rows = (
        Measured("time to the first probe", "s", (waited[0],), "the critical one"),
        Measured("time to the first probe", "s", tuple(waited[1:]), "the ordinary ones"),
    )
    return Table(TITLE.format(incidents), rows)


def save_sites(at: Installation, names: Sequence[str]) -> None:
    """The practice ground under these names, known to the intake."""
    save_like(SITE, {name: {"alert_labels": {"site": name}} for name in names})
    wait_for(
        "the intake to know the sites",
        lambda: set(names) <= {one.address.site for one in at.ledger.directory.all()},
        60,
    )


def call(at: Installation, site: str, alert: str) -> Call:
    """Calls the webhook about a site."""
    now = datetime.now(UTC)
    return Call(now, post(at, now, alert, {"site": site}))


def waited_for(at: Installation, call: Call) -> float:
    """Seconds from the call to the first probe of the run that claimed its incident."""

    def claimed() -> str | None:
        found = at.ledger.incidents.get(call.incident)
        return found.claimed_by if found else None

    run = wait_for("a run for every incident", claimed, PATIENCE_SECONDS)
    return (first_probe(run, PATIENCE_SECONDS) - call.at).total_seconds()
