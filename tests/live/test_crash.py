"""What is killed, and what becomes of the incident: the cluster's audit log counts the writes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from flows.catalogue import RUNBOOKS
from lab.audit import AuditRecord
from lab.model import Form
from tasks.model.outcome import Outcome
from tests.live.conftest import World
from tests.live.test_high_task_queue_depth import body
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.prove, pytest.mark.timeout(600)]

RUNBOOK, ALERT = "high_task_queue_depth", "HighTaskQueueDepth"

FAULT = "queue-overload"
POOL_SIZE = "ORCHESTRATION_WORKER_POOL_SIZE"


def recovered_with_one_write(world: World, began: datetime) -> None:
    """However often it was begun anew: the incident ends, and the autoscaler was written once."""
    wait_for("the incident to end", lambda: world.open_incident(ALERT) is None, 240)
    last = next(run for run in world.ledger.runs.latest() if run.runbook == "high_task_queue_depth")
    assert last.outcome in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO)
    assert [write.resource for write in world.writes(began, accepted=True)] == ["horizontalpodautoscalers"]


def test_the_worker_is_killed(healthy: World) -> None:
    """With its child, in the middle of the run; a new worker takes the run that the watch starts."""
    began = datetime.now(UTC)
    healthy.fail_at("before decide")
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    healthy.run_of(healthy.incident(ALERT))
    wait_for("the child's death", lambda: healthy.failed, 90)
    healthy.stack.kill("worker")
    healthy.stack.start_worker()
    recovered_with_one_write(healthy, began)


def test_the_server_is_killed(healthy: World) -> None:
    """No new change is begun while Prefect cannot be reached; once it is back, the incident is healed."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    healthy.run_of(healthy.incident(ALERT))
    healthy.stack.kill("prefect-server")
    healthy.stack.start_server()
    recovered_with_one_write(healthy, began)


def test_the_intake_is_killed(healthy: World) -> None:
    """Right after the alert: what is in the ledger is not lost."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    healthy.incident(ALERT)
    healthy.stack.kill("intake")
    healthy.stack.start_intake()
    healthy.stack.await_intake()
    recovered_with_one_write(healthy, began)


def test_redis_is_killed(healthy: World) -> None:
    """The queue's own backend is gone while the run acts: what it cannot read it does not act on."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    run = healthy.run_of(healthy.incident(ALERT))
    healthy.ground.kill("redis")
    healthy.ground.revive("redis")
    healthy.end_of(run, seconds=300)
    assert len(healthy.writes(began)) <= 4, "never more than the options of the document"


def test_a_run_that_slept_through_its_lease_writes_nothing(healthy: World) -> None:
    """Halted between the ledger's word and the write; when it wakes up, another run has the incident."""
    began = datetime.now(UTC)
    healthy.fail_at("intended", act="stop")
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    incident = healthy.incident(ALERT)
    first = healthy.run_of(incident)
    wait_for("the halt", lambda: healthy.failed, 90)
    second = healthy.run_of(incident, other_than=first, seconds=120)
    healthy.wake_all()
    record, report = healthy.end_of(second)
    assert record.outcome is Outcome.RECOVERED, report.verdict
    assert [write.resource for write in healthy.writes(began, accepted=True)] == ["horizontalpodautoscalers"]


# Where a run can die: around everything that it does outside itself.
POINTS = (
    "claimed",
    "before diagnose: task queue",
    "after diagnose: task queue",
    "before decide",
    "after decide",
    "before measure: criteria before",
    "before mitigate",
    "before intend",
    "intended",
    "applied",
    "settled",
    "verified",
    "after mitigate",
    "before gate",
    "after gate",
    "before end",
)
# The fault, its form, and what a run may write of each kind on the whole, however often it is begun anew.
CURED = {
    "high_task_queue_depth": ("queue-overload", {"horizontalpodautoscalers": 1}),
    "critical_task_queue_depth": (
        "queue-critical",
        {"horizontalpodautoscalers": 1, "configmaps": 1, "deployments": 1},
    ),
    "worker_pool_exhaustion": (
        "worker-exhaustion",
        {"horizontalpodautoscalers": 1, "configmaps": 1, "deployments": 1},
    ),
}


@pytest.mark.parametrize("runbook", CURED)
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_every_point(healthy: World, runbook: str, point: str) -> None:
    """SIGKILL there; the incident is picked up once and healed, and nothing is written twice."""
    healthy.watch_only(runbook)
    fault, most = CURED[runbook]
    began = datetime.now(UTC)
    healthy.fail_at(point)
    healthy.break_(fault, Form.CURABLE_AT_ONCE)
    alert = RUNBOOKS[runbook].alert
    first = healthy.run_of(healthy.incident(alert))
    wait_for("the kill", lambda: healthy.failed, 120)
    wait_for("the incident to end", lambda: healthy.open_incident(alert) is None, 240)

    died = healthy.ledger.runs.get(first)
    assert died is not None
    assert died.crashed or died.outcome is not None
    written = Counter(write.resource for write in healthy.writes(began) if write.accepted and not gives_back(write))
    assert all(written[kind] <= most.get(kind, 0) for kind in written), written


def gives_back(write: AuditRecord) -> bool:
    """Whether a write sets a number back to what the ground began with: a restore may be as quick as the test."""
    sent = body(write)
    return bool(sent.get("spec", {}).get("minReplicas") == 2 or sent.get("data", {}).get(POOL_SIZE) == "10")
