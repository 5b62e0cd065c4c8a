"""How long it takes from the webhook's call to the first probe of a recorded run, through Prefect's automation.

Each trial posts one alert to the intake while the system is healthy, so the run diagnoses and changes nothing. Our
worker and the stock process worker are measured one after the other, on the same installation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from bench.installation import Installation, installed
from bench.progress import progress
from bench.table import Measured, Table
from deployments.practice import LABELS
from tasks.ledger import RunRecord
from tasks.model.incident import Incident
from tasks.systems.prefect import get_client
from tests.waiting import wait_for

TITLE = "latency: from the webhook's call, in milliseconds"
WORKERS = {"ours": False, "stock process worker": True}
STEPS = ("answered", "event sent", "run created", "run taken", "run running", "case opened", "first probe")
SETTLE_SECONDS = 1.5  # between two trials
PATIENCE_SECONDS = 120.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial:
    """When each step was over, in milliseconds after the webhook's call."""

    steps: tuple[float, ...]


def measure(trials: int, database: str = "") -> Table:
    """Both workers, so many trials each, after one that warms up. `database` is the Prefect server's."""
    columns = []
    with installed(database) as at:
        for name, stock in WORKERS.items():
            at.stack.start_worker(stock=stock)
            all_trials = []
            for number in range(trials + 1):
                progress(f"{name}: " + (f"trial {number} of {trials}" if number else "warming up"))
                all_trials.append(trial(at))
            at.stack.stop_worker()
            columns.append(
                [
                    Measured(step, "ms", tuple(one.steps[place] for one in all_trials[1:]), name)
                    for place, step in enumerate(STEPS)
                ]
            )
    return Table(TITLE, tuple(one for column in columns for one in column), compared_with="stock process worker")


@contextmanager
def trial_run(at: Installation) -> Iterator[None]:
    """A run for one alert: started before the block, and over after it."""
    incident = post(at, datetime.now(UTC))
    yield
    wait_for("the end of the incident", lambda: _resolved(at, incident), PATIENCE_SECONDS)


def trial(at: Installation) -> Trial:
    """Posts one alert and follows it until its run has ended."""
    time.sleep(SETTLE_SECONDS)
    called = datetime.now(UTC)
    incident = post(at, called)
    answered = datetime.now(UTC)
    known = wait_for("the end of the incident", lambda: _resolved(at, incident), PATIENCE_SECONDS)
    wait_for("the end of the run", lambda: _ended(at, known.claimed_by or ""), PATIENCE_SECONDS)
    return followed(at, called, answered, known)


def followed(
    at: Installation, called: datetime, answered: datetime, incident: Incident, patience: float = PATIENCE_SECONDS
) -> Trial:
    """The way of an alert whose incident a run has claimed, once Prefect has recorded the run's first probe."""
    run = incident.claimed_by or ""
    first = first_probe(run, patience)
    record = at.ledger.runs.get(run)
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(run))
        states = {state.name: state.timestamp for state in reversed(client.read_flow_run_states(UUID(run)))}
    assert record is not None
    assert incident.announced_at is not None
    assert flow_run.created is not None
    moments = (
        answered,
        incident.announced_at,
        flow_run.created,
        states["Pending"],
        states["Running"],
        record.started_at,
        first,
    )
    return Trial(tuple((moment - called).total_seconds() * 1000 for moment in moments))


def first_probe(run: str, patience: float) -> datetime:
    """When the first probe of a run began, once Prefect has recorded it."""
    which = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]))
    with get_client(sync_client=True) as client:

        def begun() -> list[datetime] | None:
            tasks = client.read_task_runs(flow_run_filter=which)
            return [t.start_time for t in tasks if t.name.startswith("diagnose") and t.start_time] or None

        return min(wait_for("the record of its probes", begun, patience))


def post(at: Installation, now: datetime, name: str = "HighTaskQueueDepth", labels: Mapping[str, str] = LABELS) -> str:
    """Calls the intake's webhook as Alertmanager would; returns the incident's id."""
    alert = {
        "status": "firing",
        "labels": {"alertname": name, **labels},
        "startsAt": now.isoformat(),
        "fingerprint": now.isoformat(),
    }
    answer = httpx.post(
        f"{at.at.intake}/alerts",
        json={"version": "4", "alerts": [alert]},
        headers={"Authorization": f"Bearer {at.at.token}"},
        timeout=30,
    )
    handled: dict[str, Any] = answer.raise_for_status().json()["alerts"][0]
    assert handled["fate"] == "opened", handled
    return str(handled["incident"])


def _ended(at: Installation, run: str) -> RunRecord | None:
    record = at.ledger.runs.get(run)
    return record if record and record.ended_at else None


def _resolved(at: Installation, incident: str) -> Incident | None:
    found = at.ledger.incidents.get(incident)
    return found if found and found.resolved_at else None
