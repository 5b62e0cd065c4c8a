"""Raising incidents: the ledger first, then the event that starts the runbook."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType

from tasks.ledger import Ledger
from tasks.model.incident import Incident, Raiser
from tasks.redact import redact
from tasks.systems.prefect import get_client

OPENED = "runbooks.incident.opened"
RESOURCE = "runbooks.incident"
UNCLAIMED_FOR = timedelta(minutes=1)  # an event that has not led to a run after this is taken for lost
_UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
_PAGE = 200  # the most that Prefect's API gives at once


def new_incident(
    *,
    raiser: Raiser,
    alert: str,
    runbook: str,
    site: str,
    severity: str,
    summary: str,
    started_at: datetime,
    labels: Mapping[str, str] | None = None,
    fingerprint: str = "",
) -> Incident:
    """An incident received now, with an id of its own and secrets removed from its texts."""
    return Incident(
        id=uuid.uuid4().hex,
        raiser=raiser,
        alert=alert,
        runbook=runbook,
        site=site,
        severity=severity,
        summary=redact(summary),
        started_at=started_at,
        received_at=datetime.now(UTC),
        labels={key: redact(value) for key, value in (labels or {}).items()},
        fingerprint=fingerprint,
    )


def raise_incident(ledger: Ledger, incident: Incident) -> tuple[Incident, bool]:
    """Opens the incident, or folds it into the open one, and sends the event that starts its runbook.

    The event is sent again when an incident was not claimed by a run for a minute and no run of it waits for a worker:
    an event that Prefect accepted may still be lost. A second run does no harm, because only one can claim the
    incident. Says whether it was new.

    Raises:
        Exception: Prefect cannot be reached. The incident is in the ledger, and a repeat sends the event.
    """
    known, new = ledger.incidents.open(incident)
    now = datetime.now(UTC)
    silent = known.claimed_by is None and known.announced_at is not None and now - known.announced_at > UNCLAIMED_FOR
    if known.announced_at is None or (silent and known.id not in soon_claimed()):
        with get_client(sync_client=True) as client:
            announce(client, [known], now)
        ledger.incidents.announced(known.id, now)
    return known, new


def announce(client: SyncPrefectClient, incidents: Sequence[Incident], now: datetime) -> None:
    """Sends the events of incidents, in one request.

    Raises:
        httpx.HTTPError: Prefect cannot be reached, or does not take them.
    """
    events = [event(incident, now) for incident in incidents]
    client.request("POST", "/events", json=events).raise_for_status()


def start_run(deployment: str, parameters: Mapping[str, Any], key: str) -> str:
    """Starts a deployment once: the same key starts no second run. Returns the run's id.

    Args:
        deployment: The name of the deployment, which is also its flow's.

    Raises:
        ObjectNotFound: it is not deployed.
    """
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{deployment}/{deployment}")
        run = client.create_flow_run_from_deployment(found.id, parameters=dict(parameters), idempotency_key=key)
    return str(run.id)


def soon_claimed() -> frozenset[str]:
    """The incidents whose runs wait for a worker's slot, or got one a moment ago: it would be of no use to start
    another.

    Raises:
        httpx.HTTPError: Prefect cannot be reached, or does not answer.
    """
    now = datetime.now(UTC)
    under_way = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY)),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=now),
    )
    runs: list[FlowRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_flow_runs(flow_run_filter=under_way, limit=_PAGE, offset=len(runs)):
            runs += page

    def will_claim(state: State[Any] | None) -> bool:
        return state is not None and (state.is_scheduled() or now - state.timestamp < UNCLAIMED_FOR)

    claimants = [run.parameters.get("incident") for run in runs if will_claim(run.state)]
    return frozenset(str(incident) for incident in claimants if incident)


def event(incident: Incident, now: datetime) -> dict[str, Any]:
    """The event of a new incident, as Prefect's API takes it. The automation of the runbook's deployment matches it."""
    return {
        "id": str(uuid.uuid4()),
        "occurred": now.isoformat(),
        "event": OPENED,
        "resource": {
            "prefect.resource.id": f"{RESOURCE}.{incident.id}",
            "prefect.resource.name": f"{incident.alert} at {incident.site}",
            "runbook": incident.runbook,
            "site": incident.site,
            "incident": incident.id,
            "severity": incident.severity,
            "alert": incident.alert,
        },
        "related": [],
        "payload": {
            "summary": incident.summary,
            "labels": dict(incident.labels),
            "raiser": incident.raiser.value,
            "started_at": incident.started_at.isoformat(),
        },
    }
