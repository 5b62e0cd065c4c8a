"""What the worker has to say to the Prefect server, and to ask of it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
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
ASK_AGAIN_SECONDS = 2.0
REMEMBER_SECONDS = 30.0  # so long a change of a deployment's or the pool's variables may go unnoticed
CLOCKS_DIFFER_BY = timedelta(seconds=1)  # a run that is due by the server's clock is found by ours
_DIRECTORY_STEP = "prefect.deployments.steps.set_working_directory"

T = TypeVar("T")

log = logging.getLogger("runbooks.worker")


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

    def new_mark(self) -> str:
        """What the state of a run bears once it is granted to this worker."""
        return f"taken by the worker {self._worker!r} ({uuid.uuid4().hex[:8]})"

    async def claim(self, run: FlowRun, mark: str, orphan_seconds: float) -> Order | None:
        """Takes a run for this worker, as an order for a child; None when somebody else has it, or it may not start.

        Raises:
            CannotStart: it is taken, but what its deployment or the work pool says of it makes no sense.
            httpx.HTTPError: it is not taken, because the server does not do its work; it is due as before.
        """
        making = asyncio.create_task(self._order(run, orphan_seconds))
        try:
            state = await self._take(run, mark)
        finally:
            await asyncio.wait({making})
            trouble = making.exception()
        if state is None:
            return None
        try:
            if _passes(trouble):
                what = f"run {str(run.id)[:8]}: its deployment cannot be read yet"
                order = await until_answered(what, lambda: self._order(run, orphan_seconds))
            else:
                order = making.result()
        except Exception as error:
            raise CannotStart(explain(error)) from error
        return order.model_copy(update={"run": run.model_copy(update={"state": state})})

    async def _take(self, run: FlowRun, mark: str) -> State | None:
        """The server grants it to one only. When its answer is lost, the mark in the state tells who has it."""
        lost: httpx.HTTPError | None = None
        answer: OrchestrationResult[Any] | None = None
        try:
            answer = await self._client.set_flow_run_state(run.id, Pending(message=mark))
        except ObjectNotFound:
            return None  # it was deleted
        except httpx.HTTPError as error:
            lost = error
        if answer is not None and answer.status is SetStateStatus.ACCEPT:
            return answer.state
        # Lost, or given to the repeat of a call that had been granted: the client repeats what the server was too busy
        # to answer. It is asked until it says whose the run is: nobody else would look after one that is ours.
        what = f"run {str(run.id)[:8]}: whether it was taken cannot be told yet"
        now = await until_answered(what, lambda: self.read(run.id))
        state = now.state if now else None
        if state is not None and state.is_pending() and state.message == mark:
            return state
        if lost is not None and state is not None and state.is_scheduled():
            raise lost
        return None

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


def _passes(trouble: BaseException | None) -> bool:
    """Whether it is the server's trouble, and not what was asked of it."""
    if isinstance(trouble, httpx.HTTPStatusError):
        return trouble.response.is_server_error
    return isinstance(trouble, httpx.TransportError)


async def until_answered(what: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Asks the server until it answers; what is the matter is logged, as `what`."""
    while True:
        try:
            return await ask()
        except httpx.HTTPError as error:
            log.warning("%s: %s", what, explain(error))
            await asyncio.sleep(ASK_AGAIN_SECONDS)


def own_entrypoint(deployment: DeploymentResponse | None, root: Path = ROOT) -> str | None:
    """The entrypoint, when the deployment was made from this very folder; None when it has to be fetched first."""
    if deployment is None or deployment.entrypoint is None:
        return None
    for step in deployment.pull_steps or []:
        folder = step.get(_DIRECTORY_STEP, {}).get("directory")
        if set(step) != {_DIRECTORY_STEP} or folder is None or Path(folder).resolve() != root:
            return None
    return deployment.entrypoint
