"""The edge to Prefect: what production code asks of its server and its engine, answered from memory.

Only what the runbooks use is here. Each call that writes is a point, before which a process may be killed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import State
from prefect.exceptions import ObjectNotFound, Pause
from prefect.states import Completed, Failed, Running, Scheduled

from tests.properties import processes
from tests.properties.processes import Host


@dataclass
class FlowRun:
    """A flow run as the server knows it."""

    id: str
    deployment: str
    parameters: Mapping[str, Any]
    state: str = "scheduled"  # or running, suspended, ended, crashed
    given: dict[str, Any] = field(default_factory=dict)  # answers in forms, by their key


@dataclass(frozen=True)
class Named:
    """Whatever the server returns of which only a name, an id or a value is asked."""

    name: str = ""
    id: str = ""
    value: Any = None
    status: Any = None

    def raise_for_status(self) -> None:
        """The server took it."""


@dataclass(frozen=True)
class Known:
    """A flow run as the server shows it."""

    parameters: Mapping[str, Any]
    state: State[Any]


class Prefect:
    """The server. `away` says that it cannot be reached, `loses_events` that what it accepted is lost."""

    def __init__(self, host: Host, deployments: Sequence[str]) -> None:
        self.host = host
        self.deployments = deployments
        self.variables: dict[str, str] = {}
        self.runs: dict[str, FlowRun] = {}
        self.keys: dict[str, str] = {}
        self.away = self.loses_events = False

    def new_run(self, deployment: str, parameters: Mapping[str, Any]) -> FlowRun:
        run = FlowRun(str(uuid.UUID(int=len(self.runs) + 1)), deployment, parameters)
        self.runs[run.id] = run
        return run

    def resume(self, id: str, given: Mapping[str, Any]) -> bool:
        """Somebody answers the form of a suspended run."""
        run = self.runs.get(id)
        if run is None or run.state != "suspended":
            return False
        run.given.update(given)
        run.state = "scheduled"
        return True

    # ---- what takes the place of Prefect's functions ----

    def client(self, sync_client: bool = True) -> Client:
        return Client(self)

    def suspend(self, wait_for_input: object, timeout: int, key: str) -> None:
        """`suspend_flow_run`: the run is suspended at once, and the process ends when it gets to it."""
        self._called("suspend")
        process = processes.current()
        assert process is not None
        run = self.runs[process.id]
        if key in run.given.get("fired", ()):
            return  # each pause fires once
        run.given["fired"] = (*run.given.get("fired", ()), key)
        run.state = "suspended"
        self.host.reach("suspended")
        raise Pause

    def read_input(self, key: str, flow_run_id: uuid.UUID) -> Any:
        """`read_flow_run_input`"""
        processes.check()
        return self.runs[str(flow_run_id)].given.get("answer")

    def _called(self, what: str) -> None:
        self.host.reach(f"prefect {what}")
        if self.away:
            raise ConnectionError("the Prefect server cannot be reached")
        self.host.done += 1


class Client:
    """`get_client(sync_client=True)`"""

    def __init__(self, server: Prefect) -> None:
        self._server = server

    def __enter__(self) -> Client:
        processes.check()
        if self._server.away:
            raise ConnectionError("the Prefect server cannot be reached")
        return self

    def __exit__(self, *how: object) -> None:
        """Nothing is kept open."""

    def read_variable_by_name(self, name: str) -> Named | None:
        value = self._server.variables.get(name)
        return None if value is None else Named(name, value=value)

    def create_variable(self, variable: Any) -> None:
        self._server.variables[variable.name] = variable.value

    def read_deployments(self) -> list[Named]:
        return [Named(name) for name in self._server.deployments]

    def read_deployment_by_name(self, name: str) -> Named:
        return Named(name, id=name.partition("/")[0])

    def create_flow_run_from_deployment(
        self, deployment_id: str, *, parameters: Mapping[str, Any], idempotency_key: str
    ) -> Named:
        self._server._called("create run")
        server = self._server
        if idempotency_key not in server.keys:
            server.keys[idempotency_key] = server.new_run(deployment_id, parameters).id
        return Named(id=server.keys[idempotency_key])

    def read_flow_runs(self, *, flow_run_filter: object, limit: int, offset: int) -> list[Known]:
        """Those that have not begun: one that has begun claims its incident at once here."""
        waiting = [run for run in self._server.runs.values() if run.state == "scheduled"]
        return [Known(run.parameters, Scheduled()) for run in waiting][offset : offset + limit]

    def read_flow_run(self, id: uuid.UUID) -> Known:
        """Whether it waits for a worker; of its other states nobody asks here."""
        self._server._called("read run")
        if (run := self._server.runs.get(str(id))) is None:
            raise ObjectNotFound(Exception("no such flow run"))
        return Known(run.parameters, Scheduled() if run.state == "scheduled" else Running())

    def resume_flow_run(self, id: uuid.UUID, run_input: Mapping[str, Any]) -> Named:
        self._server._called("resume")
        if str(id) not in self._server.runs:
            raise ObjectNotFound(Exception("no such flow run"))
        return Named(status=Named(value="ACCEPT" if self._server.resume(str(id), {"answer": run_input}) else "REJECT"))

    def set_flow_run_state(self, id: uuid.UUID, state: State[Any], force: bool) -> None:
        self._server._called("set state")
        if run := self._server.runs.get(str(id)):
            run.state = "crashed"

    def request(self, method: str, path: str, json: Sequence[Mapping[str, Any]]) -> Named:
        """An event. The automation of its runbook's deployment starts a run."""
        self._server._called("event")
        for event in json:
            about = event["resource"]
            if not self._server.loses_events:
                parameters = {"site": about["site"], "incident": about["incident"]}
                self._server.new_run(about["runbook"].replace("_", "-"), parameters)
        return Named()


@dataclass
class Done:
    """What came of a task, in the words of a Prefect future."""

    state: State[Any]
    value: Any = None
    error: Exception | None = None

    def wait(self, timeout: float | None = None) -> None:
        """It is done already."""

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def task_class(sleep: Callable[[float], None]) -> type:
    """`prefect.Task`, whose work is done at once, with the retries that it asks for."""

    class Task:
        def __init__(self, work: Callable[[], Any], **options: Any) -> None:
            self._work, self._options = work, options

        def submit(self, wait_for: Sequence[object]) -> Done:
            retries = self._options["retries"]
            waits = self._options["retry_delay_seconds"](retries)
            for attempt in range(1, retries + 2):
                found = processes.fiber()
                assert found is not None
                found.attempt = attempt
                try:
                    value = self._work()
                except Exception as error:  # as Prefect does
                    return Done(Failed(message=f"{type(error).__name__}: {error}"), error=error)
                if not isinstance(value, State):
                    return Done(Completed(), value)
                if attempt > retries or not self._options["retry_condition_fn"](self, None, value):
                    return Done(value, value)
                sleep(waits[attempt - 1])
            raise AssertionError("the last attempt returns")

    return Task


class Runtime:
    """`prefect.runtime`: `flow_run`, `task_run` and `deployment` at once."""

    @property
    def id(self) -> str | None:
        process = processes.current()
        return process.id if process else None

    @property
    def run_count(self) -> int:
        found = processes.fiber()
        return found.attempt if found else 1
