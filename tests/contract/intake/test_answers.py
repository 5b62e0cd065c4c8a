"""The intake over HTTP: what it takes, what it refuses, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tasks.ledger import Ledger
from tests.contract.intake.conftest import TOKEN, alert, batch


def fates(client: TestClient, *alerts: dict[str, Any]) -> list[str]:
    answer = client.post("/alerts", json=batch(*alerts))
    assert answer.status_code == 200, answer.text
    return [one["fate"] for one in answer.json()["alerts"]]


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ü", f"Bearer {TOKEN} x"]
)
def test_without_the_token_nothing_is_taken(client: TestClient, ledger: Ledger, shown: str) -> None:
    answer = client.post("/alerts", json=batch(alert()), headers={"Authorization": shown.encode()})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "the bearer token is missing or wrong"}
    assert ledger.incidents.latest() == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Invalid JSON"),
        (b"not json", "Invalid JSON"),
        (b"[]", "the body"),
        (b"{}", "version: Field required"),
        (json.dumps(batch(alert(), version="3")).encode(), "version: Input should be '4'"),
        (json.dumps(batch()).encode(), "alerts: List should have at least 1 item"),
        (json.dumps(batch({"status": "odd"})).encode(), "alerts.0.status: Input should be 'firing' or 'resolved'"),
        (json.dumps(batch({"status": "firing", "startsAt": "2026-01-01T00:00:00Z"})).encode(), "alerts.0.labels"),
        (json.dumps(batch(alert(labels={"pod": 7}))).encode(), "alerts.0.labels.pod: Input should be a valid string"),
        (json.dumps(batch(alert(startsAt="yesterday"))).encode(), "alerts.0.startsAt"),
        (json.dumps(batch(alert(startsAt="2026-01-01T00:00:00"))).encode(), "startsAt: Input should have timezone"),
        (json.dumps(batch(alert(labels={"pod": "x" * 3000}))).encode(), "at most 2048 characters"),
        (b'{"version": "4", "alerts": [' + b"[" * 100_000, "Invalid JSON"),
    ],
)  # fmt: skip
def test_what_is_not_a_webhook_is_refused_with_the_reason(client: TestClient, body: bytes, told: str) -> None:
    answer = client.post("/alerts", content=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 500


def test_a_body_that_is_too_long_is_refused(client: TestClient) -> None:
    assert client.post("/alerts", content=b" " * 10_000_000).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/alerts", 405), ("GET", "/", 404), ("GET", "/docs", 404)]
)
def test_what_is_not_there(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_the_same_batch_twice_is_one_incident(client: TestClient, ledger: Ledger) -> None:
    first, second = (fates(client, alert(), alert()) for _ in range(2))
    assert first == ["opened", "folded into an open incident"]
    assert set(second) == {"folded into an open incident"}
    assert len(ledger.incidents.latest()) == 1


def test_resolved_that_never_fired_and_resolved_that_did(client: TestClient, ledger: Ledger) -> None:
    over = alert(status="resolved", endsAt=datetime.now(UTC).isoformat())
    assert fates(client, over) == ["resolved, but no incident was open"]
    assert fates(client, alert()) == ["opened"]
    assert fates(client, over) == ["resolved"]
    assert ledger.incidents.still_open() == []


def test_alerts_that_nobody_knows_are_told_apart_and_kept(client: TestClient, ledger: Ledger) -> None:
    found = fates(
        client, alert("SomethingElse"), alert(labels={"namespace": "elsewhere"}), alert(labels={"alertname": ""})
    )
    assert found == [
        "no runbook answers to this alert",
        "no site answers to these labels",
        "no runbook answers to this alert",
    ]
    assert {stray.alert for stray in ledger.strays.all()} == {"SomethingElse", "HighTaskQueueDepth", ""}


HOSTILE = [
    "\0",
    "é\u202e",
    "'; DROP TABLE incident; --",
    "{{ 7 * 7 }}",
    "<script>alert(1)</script>",
    "](javascript:x)",
    "a\nb",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_labels_are_taken_and_kept_as_they_are(client: TestClient, ledger: Ledger, value: str) -> None:
    assert fates(client, alert(labels={"pod": value}, annotations={"summary": value})) == ["opened"]
    assert ledger.incidents.latest()[0].labels["pod"] == value


def test_ten_thousand_alerts_at_once_are_taken_and_one_more_is_not(client: TestClient, ledger: Ledger) -> None:
    one = {"status": "firing", "labels": {"alertname": "X"}, "startsAt": "2026-01-01T00:00:00Z"}
    assert len(client.post("/alerts", json=batch(*[one] * 10_000)).json()["alerts"]) == 10_000
    assert client.post("/alerts", json=batch(*[one] * 10_001)).status_code == 422
    assert ledger.strays.all()[0].times == 10_000
