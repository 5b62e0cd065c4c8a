"""The alert intake over HTTP, as Alertmanager and others call it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from deployments.practice import SITE
from tests.live.conftest import World

pytestmark = pytest.mark.live


@pytest.fixture
def intake(world: World) -> httpx.Client:
    """A client with the right token."""
    return httpx.Client(base_url=world.at.intake, headers={"Authorization": f"Bearer {world.at.token}"}, timeout=20)


def alert(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "HighTaskQueueDepth", "site": SITE}
    started = datetime.now(UTC).isoformat()
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": started,
        "fingerprint": "f1",
        **changes,
    }


def batch(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "runbooks", "groupKey": "{}", "alerts": list(alerts), **changes}


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic abc"])
def test_without_the_token_nothing_is_taken(world: World, authorization: str) -> None:
    answer = httpx.post(f"{world.at.intake}/alerts", json=batch(alert()), headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "the bearer token is missing or wrong"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"not json", "Invalid JSON"),
        (b"[]", "the body"),
        (b"{}", "version: Field required"),
        (b'{"version": "3", "alerts": []}', "version: Input should be '4'"),
        (b'{"version": "4", "alerts": []}', "alerts: List should have at least 1 item"),
        (b'{"version": "4", "alerts": [{"status": "odd"}]}', "alerts.0.status: Input should be 'firing' or 'resolved'"),
    ],
)
def test_what_is_not_a_webhook_is_refused_with_the_reason(intake: httpx.Client, body: bytes, told: str) -> None:
    answer = intake.post("/alerts", content=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_a_body_that_is_too_long_is_refused(intake: httpx.Client) -> None:
    answer = intake.post("/alerts", content=b" " * 10_000_000)
    assert answer.status_code == 413


def test_alerts_that_nobody_knows_are_told_apart(intake: httpx.Client) -> None:
    stranger = alert(labels={"alertname": "SomethingElse", "site": SITE})
    elsewhere = alert(labels={"alertname": "HighTaskQueueDepth", "site": "elsewhere"})
    fates = [one["fate"] for one in intake.post("/alerts", json=batch(stranger, elsewhere)).json()["alerts"]]
    assert fates == ["no runbook answers to this alert", "no site answers to these labels"]


def test_resolved_without_an_incident(healthy: World, intake: httpx.Client) -> None:
    (one,) = intake.post("/alerts", json=batch(alert(status="resolved"))).json()["alerts"]
    assert one["fate"] == "resolved, but no incident was open"


def test_the_same_batch_twice_is_one_incident_and_one_run(healthy: World, intake: httpx.Client) -> None:
    before = {record.id for record in healthy.ledger.runs.latest()}
    first, second = (intake.post("/alerts", json=batch(alert(), alert())).json()["alerts"] for _ in range(2))
    assert [one["fate"] for one in first] == ["opened", "folded into an open incident"]
    assert {one["fate"] for one in second} == {"folded into an open incident"}
    assert len({one["incident"] for one in first + second}) == 1
    incident = healthy.incident()
    healthy.end_of(healthy.run_of(incident))
    assert len({record.id for record in healthy.ledger.runs.latest()} - before) == 1


def test_health(world: World) -> None:
    assert httpx.get(f"{world.at.intake}/health").json() == {"status": "ok"}
