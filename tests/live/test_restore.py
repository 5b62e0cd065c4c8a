"""What was changed for a while is given back, also after every process of ours was killed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lab.model import Form
from tasks.model.outcome import Outcome
from tests.live.conftest import World
from tests.live.test_high_task_queue_depth import body
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(500)]

RUNBOOK, ALERT = "high_task_queue_depth", "HighTaskQueueDepth"


def nothing_is_held(world: World) -> bool:
    return not world.ledger.claims.holdings()


@pytest.mark.prove
def test_the_autoscaler_is_handed_back_when_the_load_is_gone(healthy: World) -> None:
    """While the load stays the claim stays; when it goes the bounds are what they were."""
    healthy.break_("queue-overload", Form.CURABLE_AT_ONCE)
    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    assert record.outcome is Outcome.RECOVERED, report.verdict
    kept = wait_for(
        "a restore that looked",
        lambda: next((r for r in healthy.ledger.runs.latest() if r.outcome is Outcome.STILL_NEEDED), None),
        90,
    )
    assert "kept: bounds" in (kept.verdict or "")

    began = datetime.now(UTC)
    healthy.ground.calm()
    wait_for("the claim to be given back", lambda: nothing_is_held(healthy), 120)
    (write,) = [write for write in healthy.writes(began) if write.accepted]
    assert body(write)["spec"] == {"minReplicas": 2, "maxReplicas": 10}


@pytest.mark.prove
def test_an_overdue_restore_calls_a_person(healthy: World) -> None:
    """The load stays, so the claim stays; after the site's limit somebody is told."""
    healthy.save_site(restore_within_minutes=0.5)
    healthy.break_("queue-overload", Form.CURABLE_AT_ONCE)
    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    assert record.outcome is Outcome.RECOVERED, report.verdict
    wait_for("the call", lambda: healthy.calls("still at least 5"), 90)
    assert healthy.ledger.claims.holdings()[0].claims[0].due_at < datetime.now(UTC) + timedelta(minutes=1)
