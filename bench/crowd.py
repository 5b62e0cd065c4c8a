"""Many incidents open at once, and a critical one behind them: how long each waits for its run.

All sites are the same healthy practice ground under other names, so every run diagnoses and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.installation import Installation, installed
from bench.latency import STEPS, followed, post, trial
from bench.progress import progress
from bench.table import Measured, Table
from deployments.practice import SITE, save_like
from tasks.model.incident import Incident
from tests.waiting import wait_for

TITLE = "crowd: after the webhook's call, while {} incidents are open on one worker"
SENDERS = 8
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Call:
    """One alert at the intake: when it was sent, and when the intake had it."""

    at: datetime
    answered: datetime
    incident: str


def measure(incidents: int, database: str = "") -> Table:
    """So many ordinary incidents, and one critical after all of them. `database` is the Prefect server's."""
    progress("starting everything")
    with installed(database) as at:
        names = [f"crowd-{number:03}" for number in range(incidents + 1)]
        save_sites(at, names)
        at.stack.start_worker()
        trial(at)  # warms up
        *ordinary, last = names
        progress(f"{incidents} incidents at once")
        with ThreadPoolExecutor(SENDERS) as senders:
            calls = list(senders.map(lambda name: call(at, name, "HighTaskQueueDepth"), ordinary))
        critical = call(at, last, "CriticalTaskQueueDepth")
        ways = []
        for number, one in enumerate((critical, *calls)):
            ways.append(way(at, one))
            progress(f"{number + 1} of {incidents + 1} have their run; this one waited {ways[-1][-1]:.1f} s")
    rows = []
    for of, some in (("the critical one", ways[:1]), ("the ordinary ones", ways[1:])):
        rows += [Measured(step, "s", tuple(one[place] for one in some), of) for place, step in enumerate(STEPS)]
    return Table(TITLE.format(incidents), tuple(rows))


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
    incident = post(at, now, alert, {"site": site})
    return Call(now, datetime.now(UTC), incident)


def way(at: Installation, call: Call) -> tuple[float, ...]:
    """When each step to the first probe of the run that claimed the incident was over, in seconds after the call."""

    def claimed() -> Incident | None:
        found = at.ledger.incidents.get(call.incident)
        return found if found and found.claimed_by else None

    incident = wait_for("a run for every incident", claimed, PATIENCE_SECONDS)
    steps = followed(at, call.at, call.answered, incident, PATIENCE_SECONDS).steps
    return tuple(step / 1000 for step in steps)
