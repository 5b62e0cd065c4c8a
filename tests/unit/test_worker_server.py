"""Claiming a run: granted to one, and known as ours also when the answer got lost; and what the child is ordered."""

from __future__ import annotations

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse, SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Pending, Running, Scheduled
from prefect.workers.process import ProcessWorker

from deployments.worker import server as server_module
from deployments.worker.orders import Order
from deployments.worker.server import CannotStart, Server

ACCEPT, REJECT, ABORT = SetStateStatus.ACCEPT, SetStateStatus.REJECT, SetStateStatus.ABORT
DEPLOYMENT = uuid.uuid4()


class Prefect:
    """A Prefect server that answers a claim as it is told. `granted` says whether it did grant it."""

    def __init__(self, answer: SetStateStatus | Exception, *, granted: bool, **variables: Any) -> None:
        self.answer, self.granted = answer, granted
        self.state: State = Running(message="of another worker")
        self.deployment: DeploymentResponse | None = DeploymentResponse(
            id=DEPLOYMENT, name="x", flow_id=uuid.uuid4(), entrypoint="flows/x.py:x", labels={}, job_variables=variables
        )

    async def set_flow_run_state(self, run: uuid.UUID, state: State) -> Any:
        if self.granted:
            self.state = state
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(status=self.answer, state=state)

    async def read_flow_run(self, run: uuid.UUID) -> FlowRun:
        return FlowRun(id=run, flow_id=uuid.uuid4(), state=self.state)

    async def read_deployment(self, id: uuid.UUID) -> DeploymentResponse:
        if self.deployment is None:
            raise ObjectNotFound(Exception("404"))
        return self.deployment


def claim(prefect: Prefect, **of_run: Any) -> Order | None:
    server = Server(prefect, "w1")  # type: ignore[arg-type]
    server._template = ProcessWorker.get_default_base_job_template()
    run = FlowRun(id=uuid.uuid4(), name="a run", flow_id=uuid.uuid4(), deployment_id=DEPLOYMENT, **of_run)
    return asyncio.run(server.claim(run, server.new_mark(), 900))


LOST = httpx.ReadTimeout("no answer")
REQUEST = httpx.Request("POST", "http://prefect/set_state")


@pytest.mark.parametrize(
    ("answer", "granted", "ours"),
    [
        (ACCEPT, True, True),
        (REJECT, False, False),
        (ABORT, False, False),
        (LOST, True, True),
        (httpx.HTTPStatusError("500", request=REQUEST, response=httpx.Response(500)), True, True),
        (ABORT, True, True),  # to the repeat of a call whose answer got lost
        (ObjectNotFound(Exception("404")), False, False),
    ],
)
def test_a_run_is_ours_exactly_when_it_was_granted(
    answer: SetStateStatus | Exception, granted: bool, ours: bool
) -> None:
    order = claim(Prefect(answer, granted=granted))
    assert (order is not None) == ours
    if order is not None:
        assert order.run.state is not None
        assert "taken by the worker 'w1'" in (order.run.state.message or "")


def test_a_run_whose_claim_got_lost_and_was_not_granted_is_due_as_before() -> None:
    prefect = Prefect(LOST, granted=False)
    prefect.state = Scheduled()
    with pytest.raises(httpx.ReadTimeout):  # which is told, and tried again a little later
        claim(prefect)
    prefect.state = Running()  # another worker has it
    assert claim(prefect) is None


@pytest.mark.parametrize("deaf", ["read_flow_run", "read_deployment"])
def test_a_run_that_was_granted_is_ours_however_long_the_server_is_deaf_after_that(
    deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up, it would be Pending for ever: nobody else looks after it."""
    monkeypatch.setattr(server_module, "ASK_AGAIN_SECONDS", 0.01)
    prefect = Prefect(LOST, granted=True)
    answer, times = getattr(prefect, deaf), iter([LOST, httpx.ConnectError("refused"), LOST])

    async def ask(id: uuid.UUID) -> Any:
        if trouble := next(times, None):
            raise trouble
        return await answer(id)

    monkeypatch.setattr(prefect, deaf, ask)
    assert claim(prefect) is not None
    assert next(times, None) is None


def test_a_run_that_another_worker_of_the_same_name_was_granted_is_not_ours() -> None:
    prefect = Prefect(LOST, granted=False)
    prefect.state = Pending(message="taken by the worker 'w1' (00000000)")
    assert claim(prefect) is None


def test_variables_of_the_run_come_before_those_of_the_deployment() -> None:
    prefect = Prefect(ACCEPT, granted=True, env={"A": "deployment", "B": "deployment"}, working_dir="/")
    order = claim(prefect, job_variables={"env": {"B": "run", "C": "run"}})
    assert order is not None
    assert order.environment == {"A": "deployment", "B": "run", "C": "run"}
    assert (str(order.folder), order.command) == ("/", None)


def test_without_variables_nothing_differs_from_the_worker() -> None:
    order = claim(Prefect(ACCEPT, granted=True))
    assert order is not None
    assert (order.environment, order.folder, order.command, order.own) == ({}, None, None, "flows/x.py:x")


def test_a_run_whose_deployment_is_gone_is_taken_to_be_told_so() -> None:
    prefect = Prefect(ACCEPT, granted=True)
    prefect.deployment = None
    with pytest.raises(CannotStart):
        claim(prefect)


def test_a_run_that_somebody_else_has_is_not_spoken_of() -> None:
    prefect = Prefect(REJECT, granted=False)
    prefect.deployment = None
    assert claim(prefect) is None
