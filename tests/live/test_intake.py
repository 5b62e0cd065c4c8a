"""The alert intake in a whole installation. What it takes and refuses is shown in `tests/contract/intake`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.states import Pending

from deployments.practice import SITE
from tasks.incidents import soon_claimed, start_run
from tasks.systems.prefect import get_client
from tests.live.conftest import HTTP, World
from tests.waiting import wait_for

pytestmark = pytest.mark.live


@pytest.fixture
def intake(world: World) -> httpx.Client:
    """A client with the right token."""
    return httpx.Client(base_url=world.at.intake, headers={"Authorization": f"Bearer {world.at.token}"}, timeout=20)


def alert(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "HighTaskQueueDepth", "site": SITE}
    return {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat(), **changes}


def batch(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "receiver": "runbooks", "groupKey": "{}", "alerts": list(alerts)}


def test_the_same_batch_twice_is_one_incident_and_one_run(healthy: World, intake: httpx.Client) -> None:
    before = {record.id for record in healthy.ledger.runs.latest()}
    first, second = (intake.post("/alerts", json=batch(alert(), alert())).json()["alerts"] for _ in range(2))
    assert [one["fate"] for one in first] == ["opened", "folded into an open incident"]
    assert {one["fate"] for one in second} == {"folded into an open incident"}
    assert len({one["incident"] for one in first + second}) == 1
    incident = healthy.incident()
    healthy.end_of(healthy.run_of(incident))
    assert len({record.id for record in healthy.ledger.runs.latest()} - before) == 1


def test_an_alert_of_nobody_is_listed_by_the_command_line(healthy: World, intake: httpx.Client, commands: Any) -> None:
    labels = {"alertname": "SomethingElse", "site": SITE}
    intake.post("/alerts", json=batch(alert(labels=labels))).raise_for_status()
    assert [one["alert"] for one in commands.answer("alerts")["alerts"]] == ["SomethingElse"]
    assert "1 forgotten" in commands.run("alerts", "--forget")[1]
    assert commands.answer("alerts")["alerts"] == []


def test_a_run_that_waits_for_a_worker_is_known(world: World) -> None:
    """The watch starts no second one then, nor right after it was claimed; for a run that is gone it does."""
    assert soon_claimed() == frozenset()
    world.stack.stop_worker()
    try:
        run = start_run("high-task-queue-depth", {"site": SITE, "incident": "of-nobody"}, "waits for a worker")
        assert soon_claimed() == {"of-nobody"}
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(run), Pending())
            assert soon_claimed() == {"of-nobody"}
            client.delete_flow_run(UUID(run))
        assert soon_claimed() == frozenset()
    finally:
        world.stack.start_worker()


def test_it_tells_how_everything_is(world: World) -> None:
    wait_for("all parts", lambda: HTTP.get(f"{world.at.intake}/health").status_code == 200, 20)
    assert HTTP.get(f"{world.at.intake}/live").json() == {"status": "ok", "failing": {}}
    assert 'runbooks_up{part="Prefect server"} 1.0' in HTTP.get(f"{world.at.intake}/metrics").text


def test_the_alerting_of_the_site_gives_a_sign_of_life(world: World) -> None:
    heard = wait_for("the watchdog", lambda: [s for s in world.ledger.directory.all() if s.heard_at], 60)
    assert [one.address.site for one in heard] == [SITE]
