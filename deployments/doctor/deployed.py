"""The deployments: whether Prefect has those of `prefect.yaml`, made from this code, and keeps their schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.utilities.hashing import file_hash

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.systems.prefect import get_client
from tasks.version import ROOT

DEPLOY = "prefect --no-prompt deploy --name {deployment}"
LATE = timedelta(minutes=5)
SETTLED = timedelta(minutes=2)  # the scheduler needs a moment after a deployment was made

MISSING = Kind("deployment-missing", Health.BROKEN, "no run of it can be started, by whatever", DEPLOY)
OUTDATED = Kind(
    "deployment-outdated",
    Health.DOUBTFUL,
    "it was made from another version of its flow than this code: its form, parameters and triggers may not fit what "
    "the worker runs",
    DEPLOY + ", from the code that the worker runs",
)
ELSEWHERE = Kind(
    "deployment-in-another-pool",
    Health.BROKEN,
    "its runs are made where no worker of ours looks, and wait for ever",
    DEPLOY,
)
PAUSED = Kind(
    "deployment-paused",
    Health.DOUBTFUL,
    "its schedule starts no runs: for the health check, sites without Alertmanager are not watched; for restore, "
    "changes are given back only where an intake runs",
    "prefect api POST /deployments/{id}/resume_deployment",
)
SCHEDULE_PAUSED = Kind(
    "schedule-paused",
    Health.DOUBTFUL,
    PAUSED.means,
    "prefect deployment schedule resume {flow}/{deployment} {schedule}",
)
NO_SCHEDULE = Kind("schedule-missing", Health.DOUBTFUL, PAUSED.means, DEPLOY)
NOT_KEPT = Kind(
    "schedule-not-kept",
    Health.BROKEN,
    "the schedule is on and no run is planned: the server's scheduler is dead (with SQLAlchemy from 2.1 on it is)",
    "./dev install on the server's host, and restart it: runbooks server",
)
RUNS_LATE = Kind(
    "runs-late",
    Health.BROKEN,
    "runs wait longer than any response time allows: no worker takes them, or all are at their limit",
    "prefect worker start --pool {pool}",
)
KINDS = (MISSING, OUTDATED, ELSEWHERE, PAUSED, SCHEDULE_PAUSED, NO_SCHEDULE, NOT_KEPT, RUNS_LATE)


@dataclass(frozen=True, slots=True)
class Listed:
    """A deployment as `prefect.yaml` lists it; `version` is the hash of its flow's file, which Prefect records."""

    name: str
    flow: str
    entrypoint: str
    version: str
    scheduled: bool
    pool: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment as the server has it. `pool` is empty where it has none any more; `schedules` are its schedules by
    id, and whether each is on; `waits_since` is when the first run that has not begun should begin."""

    id: str
    version: str
    entrypoint: str
    pool: str
    paused: bool
    schedules: Mapping[str, bool]
    made_at: datetime
    waits_since: datetime | None = None


def listed(entry: Mapping[str, Any]) -> Listed:
    """What an entry of `prefect.yaml` promises. A flow bears the name of its deployment."""
    name, entrypoint = str(entry["name"]), str(entry["entrypoint"])
    version = file_hash(str(ROOT / entrypoint.partition(":")[0]))
    return Listed(name, name, entrypoint, version, bool(entry.get("schedules")), str(entry["work_pool"]["name"]))


def find(client: SyncPrefectClient, flow: str, name: str) -> DeploymentResponse | None:
    """The deployment, or None."""
    try:
        return client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        return None


def read(wanted: Listed) -> Deployed | None:
    """The deployment as the server has it; None where there is none."""
    with get_client(sync_client=True) as client:
        found = find(client, wanted.flow, wanted.name)
        if found is None:
            return None
        waiting = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=1,
        )
    return Deployed(
        str(found.id),
        found.version or "",
        found.entrypoint or "",
        found.work_pool_name or "",
        found.paused,
        {str(schedule.id): schedule.active for schedule in found.schedules},
        found.created or datetime.now(UTC),
        waiting[0].expected_start_time if waiting else None,
    )


def judge(wanted: Listed, found: Deployed | None, now: datetime) -> Iterable[Finding]:
    """Whether runs of it start as they should."""
    what, name = f"deployment {wanted.name}", wanted.name
    if found is None:
        yield MISSING.found(what, "there is none", deployment=name)
        return
    if found.entrypoint != wanted.entrypoint:
        yield OUTDATED.found(what, f"its flow is {found.entrypoint}, not {wanted.entrypoint}", deployment=name)
    elif found.version != wanted.version:
        seen = f"made from {found.version[:8] or 'an unknown version'} of its flow, this code is {wanted.version[:8]}"
        yield OUTDATED.found(what, seen, deployment=name)
    else:
        yield fine(what, f"made from this code ({found.version[:8]})")
    if found.pool != wanted.pool:
        seen = f"it is in {f'work pool {found.pool}' if found.pool else 'no work pool'}, not in {wanted.pool}"
        yield ELSEWHERE.found(f"work pool of {name}", seen, deployment=name)
    if found.waits_since is not None and now - found.waits_since > LATE:
        seen = f"a run should have begun at {found.waits_since:%Y-%m-%d %H:%M} UTC"
        yield RUNS_LATE.found(f"runs of {name}", seen, pool=wanted.pool)
    if wanted.scheduled:
        yield from _on_schedule(wanted, found, now)


def _on_schedule(wanted: Listed, found: Deployed, now: datetime) -> Iterable[Finding]:
    what = f"schedule of {wanted.name}"
    if found.paused:
        yield PAUSED.found(what, "the deployment is paused", id=found.id)
    elif not found.schedules:
        yield NO_SCHEDULE.found(what, "there is none", deployment=wanted.name)
    elif not any(found.schedules.values()):
        off = min(found.schedules)
        yield SCHEDULE_PAUSED.found(what, "it is off", flow=wanted.flow, deployment=wanted.name, schedule=off)
    elif found.waits_since is None and now - found.made_at > SETTLED:
        yield NOT_KEPT.found(what, "no run is planned")
    else:
        yield fine(what, f"on, next run at {found.waits_since:%H:%M:%S} UTC" if found.waits_since else "on, just made")
