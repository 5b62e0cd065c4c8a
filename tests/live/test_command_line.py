"""The command line against a live installation."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from deployments.practice import SITE
from lab.model import Form
from tasks.model.outcome import Outcome, Trust
from tasks.systems.prefect import get_client
from tests.live.conftest import Commands, World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(200)]

RUNBOOK, ALERT = "high_task_queue_depth", "HighTaskQueueDepth"


def test_sites(world: World, commands: Commands) -> None:
    world.save_site()
    (site,) = commands.answer("sites")
    assert site["name"] == SITE
    assert site["trust"] == "act"


def test_a_run_by_hand_of_a_healthy_system_and_its_status(healthy: World, commands: Commands) -> None:
    """As a person types it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "run", "high_task_queue_depth", "--site", SITE],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "NothingToDo" in done.stdout
    assert "saw: task queue" in done.stderr  # progress while it ran

    latest = commands.answer("status")["runs"][0]
    assert latest["outcome"] == "NothingToDo"
    assert latest["id"][:8] in done.stderr
    assert commands.answer("status", latest["id"][:8])["verdict"] == latest["verdict"]


def test_a_plan_shows_the_exact_change_and_writes_nothing(healthy: World, commands: Commands) -> None:
    """The site trusts nobody to act, so the system stays broken while the plan is made."""
    healthy.save_site(trust=Trust.PLAN)
    began = datetime.now(UTC)
    healthy.break_("queue-overload", Form.CURABLE_LATER)
    wait_for("the queue to fill", lambda: (healthy.ground.status().queue_depth or 0) > 810, 30)
    report = commands.answer("plan", "high-task-queue-depth", "--site", SITE)
    record, _ = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    writes = healthy.writes(began)

    assert record.outcome is Outcome.PLANNED  # what the alert started goes no further either
    plans = {(line["option"], line["field"]): line for line in report["plan"]}
    assert report["outcome"] == "Planned"
    assert plans["grow worker pools", "ORCHESTRATION_WORKER_POOL_SIZE"]["diff"] == "10 -> 15"
    assert plans["grow worker pools", "rollout"]["diff"].endswith("-> new pods")
    assert plans["rate limit ingestion", "replicas"]["diff"] == "3 -> 1"
    assert "approve plan" in plans["rate limit ingestion", "replicas"]["refused"]
    assert writes == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "nope", "--site", SITE), "there is no runbook 'nope'"),
        (("plan", "high_task_queue_depth", "--site", "nowhere"), "there is no site 'nowhere'"),
        (("run", "high_task_queue_depth", "--site", "nowhere"), "there is no site 'nowhere'"),
        (("status", "ffffffff"), "the ledger has no run 'ffffffff'"),
        (("approve", "ffffffff"), "nobody asks for plan 'ffffffff'"),
        (("take", "ffffffff"), "there is no incident 'ffffffff'"),
        (("sites", "apply", "/nowhere.yaml"), "cannot read /nowhere.yaml"),
        (("run", "high_task_queue_depth", "--site", SITE, "--trust", "blind"), "Invalid value"),
    ],
)
def test_bad_input_gets_one_sentence(world: World, commands: Commands, arguments: tuple[str, ...], told: str) -> None:
    code, _, error = commands.run(*arguments)
    assert code == 2
    assert told in error


def test_bad_input_in_a_form_gets_one_sentence(world: World) -> None:
    """What a person types into the form in the Prefect UI arrives like this."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("high-task-queue-depth/high-task-queue-depth")
        started = client.create_flow_run_from_deployment(deployment.id, parameters={"site": "nowhere"})

        def ended() -> tuple[str, str] | None:
            state = client.read_flow_run(started.id).state
            return (state.name or "", state.message or "") if state and state.is_final() else None

        name, message = wait_for("the end of the run", ended, 60)
    assert name == "BadInput"
    assert message.startswith("there is no site 'nowhere' of the platform 'message-bus'")
