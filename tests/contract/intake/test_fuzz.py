"""Whatever arrives gets a clear answer: never an error of ours, never 'try again' for what will never be taken."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.ledger import Ledger
from tests.contract.intake.conftest import LABELS

EXAMPLES = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
moments = st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | st.sampled_from(
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "2026-01-01", "now"]
)
labels = st.fixed_dictionaries(
    {
        "alertname": st.sampled_from(["HighTaskQueueDepth", "CriticalTaskQueueDepth", "RunbooksWatchdog", ""])
        | st.text()
    },
    optional={**{key: st.just(value) for key, value in LABELS.items()}, "pod": st.text()},
)
alerts = st.fixed_dictionaries(
    {"status": st.sampled_from(["firing", "resolved"]), "labels": labels, "startsAt": moments},
    optional={
        "endsAt": moments | st.none(),
        "annotations": st.dictionaries(st.sampled_from(["summary", "x"]), st.text()),
        "fingerprint": st.text(max_size=300),
        "generatorURL": anything,
    },
)
bodies = st.fixed_dictionaries({"version": st.just("4"), "alerts": st.lists(alerts | anything, max_size=5)})


@EXAMPLES
@given(body=st.binary(max_size=400))
def test_bytes(client: TestClient, body: bytes) -> None:
    assert client.post("/alerts", content=body).status_code == 422


@EXAMPLES
@given(body=anything)
def test_any_json(client: TestClient, body: Any) -> None:
    assert client.post("/alerts", content=json.dumps(body).encode()).status_code == 422


@EXAMPLES
@given(body=bodies)
def test_what_nearly_is_a_webhook(client: TestClient, ledger: Ledger, body: dict[str, Any]) -> None:
    answer = client.post("/alerts", content=json.dumps(body).encode())
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert len(answer.json()["alerts"]) == len(body["alerts"])


@EXAMPLES
@given(some=st.lists(alerts, min_size=1, max_size=4))
def test_what_is_firing_is_in_the_ledger_when_it_is_answered(
    client: TestClient, ledger: Ledger, some: list[dict[str, Any]]
) -> None:
    answer = client.post("/alerts", content=json.dumps({"version": "4", "alerts": some}).encode())
    if answer.status_code != 200:  # a moment without a time zone, a date that there is not, or it is too long
        assert any(name in answer.json()["detail"] for name in ("startsAt", "endsAt", "fingerprint"))
        return
    for one, handled in zip(some, answer.json()["alerts"], strict=True):
        if one["status"] == "firing" and handled["fate"] in ("opened", "folded into an open incident"):
            incident = ledger.incidents.get(handled["incident"])
            assert incident is not None
            assert incident.alert == one["labels"]["alertname"]
