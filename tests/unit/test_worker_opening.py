"""What is put off at the opening of a run, what is remembered, and what goes the usual way."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running

from deployments.worker import opening
from deployments.worker.opening import OpeningClient

RUN = uuid.uuid4()


class Prefect:
    """The API as far as it is asked here; `asked` is what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        body: Any = json.loads(request.content) if request.content else None
        if path.startswith("/csrf-token"):
            return httpx.Response(422, json={"detail": "CSRF protection is disabled."})
        self.asked.append((f"{request.method} {path.replace(str(RUN), 'RUN')}", body))
        if path.endswith("/set_state"):
            state = {**body["state"], "id": str(uuid.uuid4()), "timestamp": "2026-01-01T12:00:00Z"}
            details = {"type": "accept_details"}
            return httpx.Response(201, json={"status": "ACCEPT", "state": state, "details": details})
        if path.startswith("/flow_runs/") and request.method == "GET":
            return httpx.Response(200, json={"id": str(RUN), "name": "from the server", "flow_id": str(uuid.uuid4())})
        if path == "/admin/storage":
            return httpx.Response(200, json={"default_result_storage_block_id": None})
        return httpx.Response(204)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    monkeypatch.setattr(opening, "LATER_SECONDS", 3600)
    monkeypatch.setattr(opening._engine, "observe_flow_run_suspension", None)  # as it was, when the test is over
    return Prefect()


@pytest.fixture
def client(prefect: Prefect) -> OpeningClient:
    with temporary_settings({PREFECT_API_URL: "http://prefect/api"}):
        made = OpeningClient()
    made._client._transport = httpx.MockTransport(prefect)
    return made


def a_run(**other: Any) -> FlowRun:
    return FlowRun(id=RUN, name="brave-ant", flow_id=uuid.uuid4(), state=Pending(), run_count=2, **other)


def open_run(client: OpeningClient) -> None:
    """What Prefect's engine does until the flow begins."""
    client.open(a_run(), "host:4711")
    client.update_flow_run(flow_run_id=RUN, flow_version="v1", empirical_policy=FlowRunPolicy(retries=1))
    client.set_flow_run_name(RUN, "high task queue depth: prod")
    client.set_flow_run_state(RUN, Running())


def test_only_the_state_is_told_until_the_flow_begins(client: OpeningClient, prefect: Prefect) -> None:
    open_run(client)
    read = client.read_flow_run(RUN)
    assert [what for what, _ in prefect.asked] == ["POST /flow_runs/RUN/set_state"]
    assert (read.name, read.run_count) == ("high task queue depth: prod", 3)
    assert read.state is not None
    assert read.state.is_running()
    assert (read.state_id, read.state_name) == (read.state.id, "Running")


def test_the_run_is_read_once_from_memory_and_then_from_the_server(client: OpeningClient) -> None:
    open_run(client)
    client.read_flow_run(RUN)
    assert client.read_flow_run(RUN).name == "from the server"


def test_what_was_put_off_is_told_in_one_call(client: OpeningClient, prefect: Prefect) -> None:
    open_run(client)
    client.tell_the_rest()
    client.tell_the_rest()
    (told,) = [body for what, body in prefect.asked if what == "PATCH /flow_runs/RUN"]
    assert told["name"] == "high task queue depth: prod"
    assert (told["flow_version"], told["infrastructure_pid"]) == ("v1", "host:4711")
    assert told["empirical_policy"]["retries"] == 1


def test_it_is_told_before_the_run_ends(client: OpeningClient, prefect: Prefect) -> None:
    """A policy for retries has to be known when a run fails."""
    open_run(client)
    client.set_flow_run_state(RUN, Completed())
    assert [what for what, _ in prefect.asked][-2:] == ["PATCH /flow_runs/RUN", "POST /flow_runs/RUN/set_state"]


def test_other_runs_and_later_calls_go_the_usual_way(client: OpeningClient, prefect: Prefect) -> None:
    client.set_flow_run_name(RUN, "not opened yet")
    open_run(client)
    other = uuid.uuid4()
    client.set_flow_run_name(other, "another")
    client.tell_the_rest()
    client.set_flow_run_name(RUN, "later")
    names = [body["name"] for what, body in prefect.asked if what.startswith("PATCH") and "name" in body]
    assert names == ["not opened yet", "another", "high task queue depth: prod", "later"]


def test_where_results_are_kept_is_remembered_for_the_run(client: OpeningClient, prefect: Prefect) -> None:
    client.prepare()
    client.open(a_run(), "host:4711")
    before = len(prefect.asked)
    client.read_server_default_result_storage()
    assert len(prefect.asked) == before
