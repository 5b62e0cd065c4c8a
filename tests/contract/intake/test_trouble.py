"""The intake when something is down: nothing is lost, and people are told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.testclient import TestClient
from pydantic import SecretStr

from deployments.intake import intake as intake_module
from deployments.intake.app import create_app
from deployments.intake.desk import Desk
from deployments.intake.handle import Handled
from deployments.intake.intake import Intake
from deployments.intake.webhook import Alert
from lab.model import Webhook
from lab.servers import alertmanager_command
from tasks.ledger import Ledger
from tasks.sites import Site
from tests.contract.intake.conftest import TOKEN, Place, alert, batch, bus, hook
from tests.contract.receiver import receiving
from tests.contract.servers import answers, free_port, need, running
from tests.waiting import wait_for


def serve(intake: Intake) -> TestClient:
    client = TestClient(create_app(intake, SecretStr(TOKEN)))
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    return client


def test_all_is_well(served: tuple[TestClient, Intake, Ledger]) -> None:
    client, _, _ = served
    for path in ("/health", "/live"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "failing": {}})


def test_without_prefect_alerts_are_kept_and_announced_when_it_is_back(place: Place) -> None:
    ledger, before = place.intake()
    with closing(ledger), serve(before):
        assert place.prefect.sites, "the sites were known once, before Prefect went away"
    place.prefect.away = True
    ledger, intake = place.intake()
    with closing(ledger), serve(intake) as client:
        assert client.post("/alerts", json=batch(alert())).json()["alerts"][0]["fate"] == "opened"
        assert "connection refused" in client.get("/health").json()["failing"]["Prefect server"]
        assert client.get("/health").status_code == 503
        assert client.get("/live").status_code == 200, "to start the intake again would not help"
        assert place.prefect.events == []
        place.prefect.away = False
        wait_for("announced", lambda: place.prefect.events)
        wait_for("well again", lambda: client.get("/health").status_code == 200)
    assert [one.alert for one in place.prefect.events] == ["HighTaskQueueDepth"]


def test_an_intake_that_began_without_prefect_finds_out_that_its_ledger_is_another_one(place: Place) -> None:
    """Where it works, nobody would see to an incident there. What it took before it could know, it cannot give back."""
    ledger, before = place.intake()
    with closing(ledger), serve(before):
        assert place.prefect.sites
    place.prefect.away = True
    ledger, intake = place.intake()
    with closing(ledger), serve(intake) as client:
        assert client.post("/alerts", json=batch(alert())).status_code == 200
        place.prefect.ledger, place.prefect.away = "another", False
        wait_for("refused", lambda: client.post("/alerts", json=batch(alert())).status_code == 503)
        assert "not the ledger" in client.post("/alerts", json=batch(alert())).json()["detail"]
        assert "not the ledger" in client.get("/live").json()["failing"]["ledger"]


def test_what_one_process_left_the_next_one_announces(place: Place) -> None:
    ledger, first = place.intake()
    with closing(ledger):
        first.book.refresh()
        first._take_in([Alert.model_validate(alert())])  # and then it was killed
    ledger, second = place.intake()
    with closing(ledger), serve(second):
        wait_for("announced", lambda: place.prefect.events)


def test_a_site_that_is_saved_later_takes_its_alerts_up(place: Place) -> None:
    site = place.prefect.sites.pop()
    ledger, intake = place.intake()
    with closing(ledger), serve(intake) as client:
        (one,) = client.post("/alerts", json=batch(alert())).json()["alerts"]
        assert one["fate"] == "no site answers to these labels"
        place.prefect.sites.append(site)
        wait_for("announced", lambda: place.prefect.events)
        assert ledger.strays.all() == []


def test_a_ledger_that_cannot_be_written_is_told_and_the_sender_comes_again(place: Place) -> None:
    ledger, intake = place.intake()
    with closing(ledger), serve(intake) as client:
        with ledger.database.writing() as tx:
            tx.execute(sa.text("ALTER TABLE incident RENAME TO gone"))
        answer = client.post("/alerts", json=batch(alert()))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "try again: the ledger" in answer.json()["detail"]
        with ledger.database.writing() as tx:
            tx.execute(sa.text("ALTER TABLE gone RENAME TO incident"))
        assert client.post("/alerts", json=batch(alert())).status_code == 200


def test_people_are_told_without_prefect_and_without_the_ledger(place: Place) -> None:
    with receiving() as people:
        place.prefect.sites[:] = [Site("prod", bus(contacts=[hook(people.url)]))]
        ledger, intake = place.intake()
        with closing(ledger):
            intake.last_resort._patience = timedelta(0)
            with serve(intake):
                place.prefect.away = True
                with ledger.database.writing() as tx:
                    tx.execute(sa.text("ALTER TABLE meta RENAME TO gone"))
                wait_for("told of both", lambda: len({one.json()["title"] for one in people.arrived}) > 1, 15)
                with ledger.database.writing() as tx:
                    tx.execute(sa.text("ALTER TABLE gone RENAME TO meta"))
        titles = {one.json()["title"] for one in people.arrived}
        assert titles >= {"Runbooks: Prefect server", "Runbooks: ledger"}


def test_the_dead_man_s_switch_is_pulled_only_while_all_is_well(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def get(url: str, timeout: float) -> httpx.Response:
        called.append(url)
        return httpx.Response(200, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setattr(intake_module, "PING_SECONDS", 0.0)
    ledger, intake = place.intake(heartbeat_url="http://127.0.0.1:9/alive")
    with closing(ledger), serve(intake):
        wait_for("called", lambda: called)
        place.prefect.away = True
        wait_for("noticed", lambda: intake.health.parts()["Prefect server"])
        intake._look_at_ourselves()
        called.clear()
        intake._look_at_ourselves()
        assert called == []


def test_metrics(served: tuple[TestClient, Intake, Ledger]) -> None:
    client, _, _ = served
    client.post("/alerts", json=batch(alert(), alert(), alert("Strange")))
    client.post("/alerts", content=b"x")
    text = client.get("/metrics").text
    for line in (
        'runbooks_alerts_total{fate="opened"} 1.0',
        'runbooks_alerts_total{fate="folded"} 1.0',
        'runbooks_alerts_total{fate="no_runbook"} 1.0',
        'runbooks_intake_refused_total{status="422"} 1.0',
        'runbooks_up{part="ledger"} 1.0',
        'runbooks_incidents_open{runbook="high_task_queue_depth",state="waiting"} 1.0',
        "runbooks_strays 1.0",
        "runbooks_intake_seconds_count 1.0",
    ):
        assert line in text


def test_a_full_intake_loses_nothing_of_a_real_alertmanager(place: Place, tmp_path: Path) -> None:
    """It is answered 503, never 4xx: Alertmanager drops what is refused with 4xx, and repeats what is not."""
    need("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")
    ledger, intake = place.intake()
    let = threading.Event()
    refused: list[int] = []

    def slowly(alerts: Sequence[Alert]) -> list[Handled]:
        let.wait(60)
        return intake._take_in(alerts)

    intake.desk = Desk(slowly, most_waiting=1)
    intake.health = replace(intake.health, desk=intake.desk)
    port, its = free_port(), free_port()
    app = create_app(intake, SecretStr(TOKEN))

    @app.middleware("http")
    async def count(request: Any, call_next: Any) -> Any:
        answer = await call_next(request)
        if request.url.path == "/alerts" and answer.status_code != 200:
            refused.append(answer.status_code)
        return answer

    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    command = alertmanager_command(tmp_path, its, Webhook(f"http://127.0.0.1:{port}/alerts", TOKEN))
    with closing(ledger), running(command, tmp_path / "log", lambda: answers(f"http://127.0.0.1:{its}/-/ready")):
        try:
            wait_for("the intake", lambda: answers(f"http://127.0.0.1:{port}/live"), 20)
            waiting = intake.desk.submit([Alert.model_validate(alert("Strange"))])  # the desk is full with this one
            ours = {"labels": {**alert()["labels"]}}
            httpx.post(f"http://127.0.0.1:{its}/api/v2/alerts", json=[ours], trust_env=False).raise_for_status()
            wait_for("refused", lambda: len(refused) > 1, 30)
            let.set()
            waiting.result(20)
            wait_for("taken in", lambda: ledger.incidents.of("prod", "HighTaskQueueDepth"), 60)
        finally:
            let.set()
            server.should_exit = True
            thread.join(20)
    assert set(refused) == {503}
