"""The worker on a live Prefect server: how runs start, how they end, and what is left when a process dies.

No practice ground is needed, so these tests have a server of their own, and a worker that each test may kill.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from deployments.manifest import WORK_POOL
from deployments.stack import STOCK_WORKER, WORKER, Stack
from tasks.systems.prefect import get_client
from tasks.version import ROOT
from tests.live import rogues
from tests.waiting import wait_for, wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

T = TypeVar("T")
FINAL = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


@dataclass
class Office:
    """A Prefect server with the rogues deployed, and a worker."""

    stack: Stack
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "processes" / f"{WORKER}.log").read_text(errors="replace")

    @property
    def worker(self) -> psutil.Process:
        return psutil.Process(json.loads((self.folder / "processes" / f"{WORKER}.pid").read_text())["pid"])

    def start(self, name: str, *, tags: tuple[str, ...] = (), env: dict[str, str] | None = None, **given: Any) -> Run:
        file = self.folder / f"{name}-{time.monotonic_ns()}"
        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name(f"rogue-{name}/{name}")
            run = client.create_flow_run_from_deployment(
                found.id,
                parameters={"file": str(file), **given},
                tags=list(tags),
                job_variables={"env": env} if env else None,
            )
        return Run(run.id, file)


@dataclass(frozen=True)
class Run:
    """One run of a rogue, and the file in which it says what it saw."""

    id: UUID
    file: Path

    def read(self) -> FlowRun:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.id)

    def noted(self, seconds: float = 60) -> str:
        return wait_for(
            "the run to begin", lambda: self.file.read_text().strip() if self.file.exists() else None, seconds
        )

    def pid(self) -> int:
        return int(self.noted().split()[0])

    def ended(self, seconds: float = 30) -> tuple[str, str]:
        """The type of the final state, and its message."""

        def final() -> FlowRun | None:
            run = self.read()
            return run if run.state and run.state.type in FINAL else None

        state = wait_for("the final state", final, seconds).state
        assert state is not None
        return state.type.value, state.message or ""

    def cancel(self) -> None:
        """What the button in the UI does."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.id, Cancelling())


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    stack = Stack(folder)
    try:
        with stack.entered():
            stack.start_server()
            stack.create_pool()
            deploy_rogues()
            yield Office(stack, folder)
    finally:
        stack.stop()


def deploy_rogues() -> None:
    pull = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    with get_client(sync_client=True) as client:
        for flow in (
            *(rogues.well, rogues.asynchronous, rogues.waits, rogues.overtime),
            *(rogues.leaves, rogues.killed, rogues.halted, rogues.broken),
        ):
            client.create_deployment(
                client.create_flow(flow),
                name=flow.name.removeprefix("rogue-"),
                work_pool_name=WORK_POOL,
                entrypoint=f"tests/live/rogues.py:{flow.fn.__name__}",
                pull_steps=pull,
                parameter_openapi_schema={"type": "object", "properties": {}},
                enforce_parameter_schema=False,
            )


@pytest.fixture
def at(office: Office) -> Iterator[Office]:
    """With our worker; what it was started with, and what a test left of it, is over afterwards."""
    office.stack.start_worker()
    yield office
    for child in children(office):
        child.resume()
    office.stack.stop_worker()
    wait_for("the end of all children", lambda: not children(office))


def children(office: Office) -> list[psutil.Process]:
    """Spares and runs of this office's workers, whoever their parent is by now."""
    folder = office.stack.environment()["RUNBOOKS_WORKER_FOLDER"]

    def ours(process: psutil.Process) -> bool:
        try:
            return process.name().startswith("runbooks-") and process.environ()["RUNBOOKS_WORKER_FOLDER"] == folder
        except (psutil.Error, KeyError):
            return False

    return [process for process in psutil.process_iter() if ours(process) and not gone(process.pid)]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ---- how runs go ---------------------------------------------------------------------------------------------------


def test_runs_are_executed_in_children_that_share_nothing(at: Office) -> None:
    """Side by side, each in a process of its own, with its own randomness and environment; its output is kept."""
    runs = [at.start("well"), at.start("well", env={"ROGUE": "set"}), at.start("asynchronous"), at.start("broken")]
    assert [run.ended(120)[0] for run in runs] == ["COMPLETED", "COMPLETED", "COMPLETED", "FAILED"]
    first, second = (run.noted().split() for run in runs[:2])
    assert first[0] == str(runs[0].id)
    assert not set(first[1:4]) & set(second[1:4]), "neither process nor randomness"
    assert (first[4], second[4]) == ("unset", "set")
    wait_until(lambda: at.log.count("printed by a flow"), 2, "the output in the worker's log")
    named = runs[0].read().infrastructure_pid or ""
    assert named == "" or named.endswith(f":{first[1]}")
    wait_for("their processes' end", lambda: gone(int(first[1])))
    wait_for("the last ended one, reaped", lambda: not [c for c in at.worker.children() if gone(c.pid)])


@pytest.mark.prove
def test_a_flows_own_timeout_holds(at: Office) -> None:
    run = at.start("overtime")
    assert run.ended(60) == ("FAILED", "Flow run exceeded timeout of 1.0 second(s)")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("killed", r"the process \d+ was ended by SIGKILL \(by a person, or by the kernel when memory ran out\)"),
        pytest.param(
            "leaves",
            r"the process \d+ ended with exit code 3 without saying how the run ended",
            marks=pytest.mark.prove,
        ),
    ],
)
def test_a_process_that_ends_without_a_word_is_crashed_within_seconds(at: Office, name: str, message: str) -> None:
    run = at.start(name)
    run.noted()
    began = time.monotonic()
    kind, told = run.ended(15)
    assert time.monotonic() - began < 10
    assert kind == "CRASHED"
    assert re.fullmatch(message, told)


def test_a_run_is_cancelled_from_outside(at: Office) -> None:
    run = at.start("waits")
    pid = run.pid()
    run.cancel()
    kind, _ = run.ended(20)
    assert kind == "CANCELLED"
    wait_for("the process to end", lambda: gone(pid))


@pytest.mark.prove
def test_ordinary_runs_leave_slots_for_what_never_waits(office: Office) -> None:
    office.stack.start_worker(options=("--limit", "3", "--reserve", "1"))
    try:
        flood = [office.start("waits", seconds=20) for _ in range(4)]
        wait_for("two of them", lambda: sum(run.file.exists() for run in flood) == 2, 60)
        critical = office.start("waits", tags=("critical",), seconds=1)
        critical.noted(20)
        assert sum(run.file.exists() for run in flood) == 2
        assert critical.ended(30)[0] == "COMPLETED"
        assert [run.ended(90)[0] for run in flood] == ["COMPLETED"] * 4
    finally:
        office.stack.stop_worker()


# ---- what dies -----------------------------------------------------------------------------------------------------


@pytest.mark.prove
def test_a_killed_worker_leaves_a_run_that_ends_well_and_can_be_cancelled(at: Office) -> None:
    """Its template and spares end at once. The next worker of its name knows of the runs, and executes none twice."""
    goes_on, unwanted = at.start("waits", seconds=12), at.start("waits")
    pids = goes_on.pid(), unwanted.pid()
    spares = [c.pid for c in at.worker.children(recursive=True) if c.pid not in pids]
    at.stack.kill(WORKER)
    wait_for("the end of template and spares", lambda: all(gone(pid) for pid in spares), 10)
    assert not any(gone(pid) for pid in pids)
    unwanted.cancel()
    at.stack.start_worker()
    assert unwanted.ended(40)[0] == "CANCELLED"
    assert goes_on.ended(40)[0] == "COMPLETED"
    assert goes_on.noted() == str(pids[0]), "by the one process that had it"


@pytest.mark.prove
def test_a_run_that_died_with_its_worker_is_reported_by_the_next_one(at: Office) -> None:
    run = at.start("waits")
    pid = run.pid()
    at.stack.kill(WORKER)
    os.kill(pid, signal.SIGKILL)
    at.stack.start_worker()
    assert run.ended(30) == (
        "CRASHED",
        f"the worker of this run was killed, and its process {pid} ended before the run did",
    )


@pytest.mark.prove
def test_a_worker_that_is_told_to_stop_waits_and_then_hands_its_runs_on(at: Office) -> None:
    short, long = at.start("waits", seconds=2), at.start("waits", seconds=60)
    pids = short.pid(), long.pid()
    worker = at.worker
    worker.terminate()
    worker.wait(30)
    assert all(gone(pid) for pid in pids)
    assert not children(at), "nothing is left behind"
    assert short.ended(5)[0] == "COMPLETED"
    state = long.read().state
    assert state is not None
    assert (state.name, state.message) == (
        "AwaitingRetry",
        f"the worker {WORKER!r} was stopped: the next one goes on with this run",
    )
    at.stack.start_worker()
    wait_for("the next worker to go on", lambda: len(long.noted().split()) == 2, 60)
    long.cancel()
    assert long.ended(30)[0] == "CANCELLED"


@pytest.mark.prove
def test_a_halted_process_is_killed_and_reported(office: Office) -> None:
    office.stack.start_worker(options=("--silent", "5"))
    try:
        run = office.start("halted")
        pid = run.pid()
        kind, told = run.ended(40)
        assert kind == "CRASHED"
        assert re.fullmatch(rf"the process {pid} gave no sign of life for \d+ s, and was killed", told)
        assert gone(pid)
    finally:
        office.stack.stop_worker()


@pytest.mark.prove
def test_a_worker_survives_the_server(at: Office) -> None:
    run = at.start("waits", seconds=1)
    assert run.ended(60)[0] == "COMPLETED"
    at.stack.kill("prefect-server")
    at.stack.start_server()
    later = at.start("well")
    assert later.ended(60)[0] == "COMPLETED"


# ---- beside others -------------------------------------------------------------------------------------------------


def test_it_is_shown_as_online(at: Office) -> None:
    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(WORK_POOL)
    assert [(w.name, w.status.value) for w in workers if w.name == WORKER] == [(WORKER, "ONLINE")]


@pytest.mark.prove
def test_the_stock_worker_serves_the_same_pool(office: Office) -> None:
    office.stack.start_worker(stock=True)
    try:
        assert office.start("well").ended(120)[0] == "COMPLETED"
        assert STOCK_WORKER in office.log
    finally:
        office.stack.stop_worker()
