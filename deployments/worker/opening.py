"""The opening of a run, made quick: what Prefect's engine asks and tells at the very moment when time counts.

No state is decided here, and nothing is left out. What only informs people (the run's name, the flow's version, the
process) is told in one call, a second later; what is known from a moment ago is not asked again. Only our own flows are
opened so, and only once each: whatever comes later goes the usual way.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect import State, flow_engine
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy
from prefect.client.schemas.responses import OrchestrationResult
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

LATER_SECONDS = 1.0

log = logging.getLogger("runbooks.worker.child")
_engine: Any = flow_engine  # Any: what is put in place of its watch for a suspension is not one of its public names
_observe_suspension = _engine.observe_flow_run_suspension


class OpeningClient(SyncPrefectClient):
    """Prefect's own client, until it is told which run it opens."""

    def __init__(self) -> None:
        super().__init__(
            PREFECT_API_URL.value(), auth_string=PREFECT_API_AUTH_STRING.value(), api_key=PREFECT_API_KEY.value()
        )
        self._opened: FlowRun | None = None
        self._running: State[Any] | None = None
        self._later: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._storage: Any = None

    def prepare(self) -> None:
        """Asks what every run would ask first: where results are kept, and whether a change needs a token.

        Raises:
            httpx.HTTPError: the server does not answer.
        """
        self._storage = super().read_server_default_result_storage()
        self.request("POST", "/variables/count")  # the first call that counts as a change also asks for the token

    def open(self, run: FlowRun, process: str) -> None:
        """From now on this client opens the run, which is about to begin in this process."""
        _engine.observe_flow_run_suspension = observed_later
        self._opened = run
        self._later = {"infrastructure_pid": process}
        timer = threading.Timer(LATER_SECONDS, self.tell_the_rest)
        timer.daemon = True
        timer.start()

    def tell_the_rest(self) -> None:
        """Tells what was put off. The run does not depend on it."""
        with self._lock:
            later, run, self._opened = self._later, self._opened, None
        if run is not None:
            try:
                self.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json=later)
            except httpx.HTTPError as error:
                log.warning("the run's name could not be told to Prefect: %r", error)

    def _put_off(self, run: UUID, **told: Any) -> bool:
        with self._lock:
            if self._opened is None or self._opened.id != run:
                return False
            self._later.update(told)
            return True

    # ---- the calls of the engine, in their order -------------------------------------------------------------------

    def update_flow_run(self, flow_run_id: UUID, *args: Any, **told: Any) -> httpx.Response:
        """Version of the flow and its policy for retries."""
        policy: FlowRunPolicy | None = told.get("empirical_policy")
        only_these = not args and set(told) <= {"flow_version", "empirical_policy"}
        later = {"flow_version": told.get("flow_version")}
        if policy is not None:
            later["empirical_policy"] = policy.model_dump(mode="json", exclude_unset=True)
        if only_these and self._put_off(flow_run_id, **later):
            return httpx.Response(204)
        return super().update_flow_run(flow_run_id, *args, **told)

    def set_flow_run_name(self, flow_run_id: UUID, name: str) -> httpx.Response:
        """The run's name."""
        if self._put_off(flow_run_id, name=name):
            return httpx.Response(204)
        return super().set_flow_run_name(flow_run_id, name)

    def set_flow_run_state(
        self, flow_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult[Any]:
        """Running, and at the end how the run ended; before that, all that was put off has been told."""
        if not state.is_running():
            self.tell_the_rest()
        answer: OrchestrationResult[Any] = super().set_flow_run_state(flow_run_id, state, force)
        if self._opened is not None and answer.state is not None and answer.state.is_running():
            self._running = answer.state
        return answer

    def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        """The run as it is right after the server let it run, which the engine reads once more."""
        with self._lock:
            run, running, self._running = self._opened, self._running, None
            name = self._later.get("name")
        if run is None or run.id != flow_run_id or running is None:
            return super().read_flow_run(flow_run_id)
        return run.model_copy(
            update={
                "state": running,
                "state_id": running.id,
                "state_type": running.type,
                "state_name": running.name,
                "name": name or run.name,
                "run_count": run.run_count + 1,
                "start_time": run.start_time or running.timestamp,
            }
        )

    def read_server_default_result_storage(self) -> Any:
        """Where results are kept that no flow says otherwise about; ours keep none."""
        return self._storage if self._opened and self._storage else super().read_server_default_result_storage()


def opening_context() -> tuple[SyncClientContext, OpeningClient]:
    """A context in which the engine, and everything of the run in this thread, uses such a client."""
    client = OpeningClient()
    return SyncClientContext().model_copy(update={"client": client}), client


@contextmanager
def observed_later(run: UUID, request: Any, polling_interval: float = 10) -> Iterator[None]:
    """Prefect's watch for a suspension from outside, begun a second later and not waited for.

    It takes a connection and three calls. A run that is suspended in its first second hears of it in its second one.
    """
    over = threading.Event()

    def observe() -> None:
        if not over.wait(LATER_SECONDS):
            with _observe_suspension(run, request, polling_interval):
                over.wait()

    watch = threading.Thread(target=contextvars.copy_context().run, args=(observe,), name="suspension", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join(timeout=2)
