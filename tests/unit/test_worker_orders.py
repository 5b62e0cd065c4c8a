"""What worker and child say to each other, whose code a deployment wants, and what is kept on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Pending

from deployments.manifest import manifest
from deployments.worker.endings import Cause
from deployments.worker.orders import Order
from deployments.worker.own import own_flows
from deployments.worker.records import AlreadyRuns, Record, Records
from deployments.worker.server import own_entrypoint
from tasks.version import ROOT

RUN = uuid.UUID(int=7)


def test_an_order_arrives_as_it_was_sent() -> None:
    run = FlowRun(
        id=RUN,
        name="a run",
        flow_id=uuid.uuid4(),
        parameters={"site": "prod\n", "n": {"a": [1, None]}},
        state=Pending(),
    )
    order = Order(run=run, own="flows/x.py:x", environment={"A": "1", "B": None}, folder=Path("/tmp"), orphan_seconds=5)  # noqa: S108
    line = order.line()
    assert line.count(b"\n") == 1
    again = Order.model_validate_json(line)
    assert again == order
    assert again.run.state == run.state


# ---- whose code ----------------------------------------------------------------------------------------------------


def deployment(*steps: dict[str, Any], entrypoint: str | None = "flows/x.py:x") -> DeploymentResponse:
    return DeploymentResponse(
        id=uuid.uuid4(), name="x", flow_id=uuid.uuid4(), entrypoint=entrypoint, pull_steps=list(steps), labels={}
    )


def folder(path: object) -> dict[str, Any]:
    return {"prefect.deployments.steps.set_working_directory": {"directory": str(path)}}


def test_a_deployment_from_this_folder_is_made_of_the_imported_code() -> None:
    assert own_entrypoint(deployment(folder(ROOT))) == "flows/x.py:x"
    assert own_entrypoint(deployment(folder(ROOT / "tests" / ".."))) == "flows/x.py:x"
    assert own_entrypoint(deployment()) == "flows/x.py:x"


@pytest.mark.parametrize(
    "other",
    [
        None,
        deployment(folder("/elsewhere")),
        deployment({"prefect.deployments.steps.git_clone": {"repository": "https://example.com/x.git"}}),
        deployment(folder(ROOT), {"prefect.deployments.steps.run_shell_script": {"script": "make"}}),
        deployment(entrypoint=None),
    ],
)
def test_any_other_is_loaded_as_it_says(other: DeploymentResponse | None) -> None:
    assert own_entrypoint(other) is None


def test_every_deployment_of_the_manifest_has_its_flow_imported() -> None:
    assert {one["entrypoint"] for one in manifest()["deployments"]} == set(own_flows())


# ---- records -------------------------------------------------------------------------------------------------------


def test_a_record_tells_a_process_from_a_later_one_with_its_number() -> None:
    record = Record.of(RUN, os.getpid(), "mark")
    assert record.alive
    assert not record.model_copy(update={"started": "1"}).alive
    assert not record.model_copy(update={"boot": "another"}).alive


def test_a_dead_process_is_not_alive_not_even_as_remains() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = Record.of(RUN, process.pid, "mark")
    assert record.alive
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not record.alive
    process.communicate()
    assert not record.alive


def test_what_was_not_seen_through_is_found_by_the_next_worker(tmp_path: Path) -> None:
    records = Records(tmp_path / "w1")
    first, second = Record.of(RUN, os.getpid(), "mark"), Record.of(uuid.UUID(int=8), os.getpid(), "mark", Cause.STOPPED)
    records.keep(first)
    records.keep(second)
    records.forget(second.run)
    records.forget(second.run)
    (tmp_path / "w1" / "broken.json").write_text("{")
    assert list(records.left()) == [first]
    records.keep(second)
    assert {record.cause for record in records.left()} == {Cause.LEFT, Cause.STOPPED}
    assert not (tmp_path / "w1" / "broken.json").exists()


def test_two_workers_of_one_name_are_one_too_many(tmp_path: Path) -> None:
    records = Records(tmp_path / "w1")
    with pytest.raises(AlreadyRuns, match="a worker called 'w1' runs on this host already: choose another --name"):
        Records(tmp_path / "w1")
    assert list(records.left()) == []
