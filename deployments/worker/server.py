"""What the worker has to say to the Prefect server, and to ask of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import State
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse, OrchestrationResult, SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Pending
from prefect.workers.process import ProcessJobConfiguration

from deployments.manifest import WORK_POOL
from deployments.worker.orders import Order
from tasks.systems.errors import explain
from tasks.version import ROOT

BEAT_SECONDS = 10.0
REMEMBER_SECONDS = 30.0  # so long a change of a deployment's or the pool's variables may go unnoticed
CLOCKS_DIFFER_BY = timedelta(seconds=1)  # a run that is due by the server's clock is found by ours
_DIRECTORY_STEP = "prefect.deployments.steps.set_working_directory"


class NoPool(Exception):
    """The work pool does not exist. The text says what to do."""


class CannotStart(Exception):
    """A run cannot be started as its deployment or the work pool wants it."""


class Server:
    """The Prefect server as one worker sees it. `pool` is known after the first beat."""

    pool: UUID

    def __init__(self, client: PrefectClient, worker: str) -> None:
        self._client = client
        self._worker = worker
        self._template: dict[str, Any] = {}
        self._deployments: dict[UUID, DeploymentResponse] = {}
        self._remembered_at = float("-inf")

    async def beat(self) -> None:
        """A sign of life of the worker. What is remembered of the pool and its deployments is read anew now and then.

        Raises:
            NoPool: the work pool does not exist, or is not one for processes.
        """
        if time.monotonic() - self._remembered_at > REMEMBER_SECONDS:
            await self._remember()
        await self._client.send_worker_heartbeat(WORK_POOL, self._worker, BEAT_SECONDS)

    async def _remember(self) -> None:
        try:
            pool = await self._client.read_work_pool(WORK_POOL)
        except ObjectNotFound as error:
            raise NoPool(
                f"there is no work pool {WORK_POOL!r}: prefect work-pool create {WORK_POOL} --type process"
            ) from error
        if pool.type != "process":
            raise NoPool(f"the work pool {WORK_POOL!r} is of type {pool.type!r}, and must be of type 'process'")
        self.pool, self._template = pool.id, pool.base_job_template
        self._deployments = {deployment.id: deployment for deployment in await self._client.read_deployments()}
        self._remembered_at = time.monotonic()

    async def due(self) -> list[FlowRun]:
        """The runs that should have started by now, as the pool's and its queues' own rules let them through."""
        soon = datetime.now(UTC) + CLOCKS_DIFFER_BY  # Prefect's engine waits for the rest
        answers = await self._client.get_scheduled_flow_runs_for_work_pool(WORK_POOL, scheduled_before=soon)
        return [answer.flow_run for answer in answers]

    async def claim(self, run: FlowRun, orphan_seconds: float) -> Order | None:
        """Takes a run for this worker, as an order for a child; None when somebody else has it, or it may not start.

        Raises:
            CannotStart: it is taken, but what its deployment or the work pool says of it makes no sense.
        """
        taking = asyncio.create_task(self._take(run))
        try:
            order = await self._order(run, orphan_seconds)
        except Exception as error:
            if await taking is None:
                return None
            raise CannotStart(explain(error)) from error
        state = await taking
        return order.model_copy(update={"run": run.model_copy(update={"state": state})}) if state else None

    async def _take(self, run: FlowRun) -> State | None:
        """The server grants it to one only. When its answer is lost, the mark in the state tells who has it."""
        mark = f"taken by the worker {self._worker!r} ({uuid.uuid4().hex[:8]})"
        try:
            answer: OrchestrationResult[Any] | None = await self._client.set_flow_run_state(
                run.id, Pending(message=mark)
            )
        except ObjectNotFound:
            return None  # it was deleted
        except httpx.HTTPError:
            answer = None
        if answer is not None and answer.status is SetStateStatus.ACCEPT:
            return answer.state
        # Lost, or given to the repeat of a call that had been granted: the client repeats what the server was too busy
        # to answer.
        now = await self.read(run.id)
        state = now.state if now else None
        return state if state is not None and state.is_pending() and state.message == mark else None

    async def _order(self, run: FlowRun, orphan_seconds: float) -> Order:
        """The run, and in what its deployment and the pool's template want it to differ from this worker."""
        deployment = await self._deployment(run.deployment_id) if run.deployment_id else None
        of_deployment = deployment.job_variables if deployment else {}
        variables = of_deployment | (run.job_variables or {})
        if env := (of_deployment.get("env") or {}) | (variables.get("env") or {}):
            variables["env"] = env
        make: Any = ProcessJobConfiguration.from_template_and_values  # Any: its types got lost behind a decorator
        job: ProcessJobConfiguration = await make(self._template, variables, client=self._client)
        return Order(
            run=run,
            own=own_entrypoint(deployment),
            environment=job.env,
            folder=job.working_dir,
            command=job.command,
            orphan_seconds=orphan_seconds,
        )

    async def _deployment(self, id: UUID) -> DeploymentResponse:
        if id not in self._deployments:
            self._deployments[id] = await self._client.read_deployment(id)
        return self._deployments[id]

    async def started(self, run: UUID, process: str) -> None:
        """Writes down which process executes a run."""
        await self._client.update_flow_run(run, infrastructure_pid=process)

    async def read(self, run: UUID) -> FlowRun | None:
        """A run as it is now; None when it was deleted."""
        try:
            return await self._client.read_flow_run(run)
        except ObjectNotFound:
            return None

    async def tell(self, run: UUID, state: State) -> None:
        """Gives a run that has no process any more its state."""
        await self._client.set_flow_run_state(run, state, force=True)

    async def cancelling(self, runs: Iterable[UUID]) -> set[UUID]:
        """Those of the runs that a person wants to end."""
        which = FlowRunFilter(
            id=FlowRunFilterId(any_=list(runs)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING])),
        )
        return {run.id for run in await self._client.read_flow_runs(flow_run_filter=which)}


def own_entrypoint(deployment: DeploymentResponse | None, root: Path = ROOT) -> str | None:
    """The entrypoint, when the deployment was made from this very folder; None when it has to be fetched first."""
    if deployment is None or deployment.entrypoint is None:
        return None
    for step in deployment.pull_steps or []:
        folder = step.get(_DIRECTORY_STEP, {}).get("directory")
        if set(step) != {_DIRECTORY_STEP} or folder is None or Path(folder).resolve() != root:
            return None
    return deployment.entrypoint
