"""Worker pool exhaustion, the whole way: more workers for ordinary work, and stuck tasks cancelled one at a time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab.audit import AuditRecord
from lab.model import Form
from tasks.ledger import ChangeState
from tasks.model.outcome import Outcome
from tests.live.conftest import World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

FAULT, RUNBOOK, ALERT = "worker-exhaustion", "worker_pool_exhaustion", "WorkerPoolExhaustion"


def cancelled(world: World, since: datetime) -> list[AuditRecord]:
    """What reached the administration of tasks, by the service's own audit log."""
    return [write for write in world.writes(since) if (write.verb, write.resource) == ("delete", "tasks")]


def approve_all(world: World, run: str, most: int) -> list[str]:
    """Approves every plan that the run asks for, until it ends; says which plans."""
    seen: dict[str, str] = {}

    def ended() -> bool:
        for question in world.ledger.approvals.waiting():
            if question.run == run and question.key not in seen:
                seen[question.key] = "\n".join(question.plan)
                world.ledger.approvals.answer(question.key, True, "ada")
        assert len(seen) <= most
        record = world.ledger.runs.get(run)
        return record is not None and record.outcome is not None

    wait_for("the end of the run", ended, 400)
    return list(seen.values())


@pytest.mark.proves(RUNBOOK, "healthy")
@pytest.mark.prove
def test_a_healthy_system_is_left_alone(healthy: World) -> None:
    began = datetime.now(UTC)
    healthy.force_alert(ALERT, "warning")
    record, _ = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    assert record.outcome is Outcome.NOTHING_TO_DO
    assert healthy.writes(began) == []


@pytest.mark.proves(RUNBOOK, "cured at once")
@pytest.mark.prove
def test_ordinary_work_gets_more_workers(healthy: World) -> None:
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    assert record.outcome is Outcome.RECOVERED, report.verdict
    assert cancelled(healthy, began) == []
    assert [w.resource for w in healthy.writes(began)].count("deployments") <= 1, "one rollout"


@pytest.mark.proves(RUNBOOK, "cured later")
@pytest.mark.prove
def test_stuck_tasks_are_cancelled_one_at_a_time(healthy: World) -> None:
    """Each asks, each is chosen anew from the dependency graph and the durations, and the log of the service counts."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_LATER)
    run = healthy.run_of(healthy.incident(ALERT))
    asked = approve_all(healthy, run, most=14)
    record, report = healthy.end_of(run)

    assert record.outcome is Outcome.RECOVERED, report.verdict
    names = [write.name for write in cancelled(healthy, began)]
    assert names, "somebody was cancelled"
    assert len(names) == len(set(names)), "none twice"
    # Not all: what is answered when the queue has just drained is not done any more.
    assert all(sum(name in plan for plan in asked) == 1 for name in names), "none without an answer of its own"
    assert {write.code for write in cancelled(healthy, began)} <= {200, 202}


@pytest.mark.proves(RUNBOOK, "incurable")
@pytest.mark.prove
def test_incurable(healthy: World) -> None:
    """The next tasks hang too: the cap ends the cancelling, and a person is called."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.INCURABLE)
    run = healthy.run_of(healthy.incident(ALERT))
    approve_all(healthy, run, most=20)
    record, _ = healthy.end_of(run)
    assert record.outcome is Outcome.NOT_RECOVERED
    assert len(cancelled(healthy, began)) <= 5, "the cap"
    assert healthy.calls("NotRecovered")


@pytest.mark.proves(RUNBOOK, "refused")
@pytest.mark.prove
def test_without_an_answer_nothing_is_cancelled(healthy: World) -> None:
    """Destructive changes ask at every level of trust, and this site may act."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_LATER)
    run = healthy.run_of(healthy.incident(ALERT))
    for _ in range(2):  # the cancellation, then the restart
        waiting = wait_for("a question", lambda: healthy.ledger.approvals.waiting(), 150)
        healthy.ledger.approvals.answer(waiting[0].key, False, "ada")
    record, report = healthy.end_of(run)
    assert record.outcome is Outcome.REFUSED, report.verdict
    assert healthy.writes(began) == []


@pytest.mark.proves(RUNBOOK, "killed")
@pytest.mark.prove
def test_killed_after_a_cancellation(healthy: World) -> None:
    """The run dies when the cancellation was sent and nothing says so yet: the same task is not cancelled twice."""
    began = datetime.now(UTC)
    healthy.fail_at("applied")
    healthy.break_(FAULT, Form.CURABLE_LATER)
    incident = healthy.incident(ALERT)
    first = healthy.run_of(incident)
    question = wait_for("a question", lambda: healthy.ledger.approvals.waiting(), 120)[0]
    healthy.ledger.approvals.answer(question.key, True, "ada")
    wait_for("the kill", lambda: healthy.failed, 90)
    second = healthy.run_of(incident, other_than=first, seconds=120)
    approve_all(healthy, second, most=14)
    healthy.end_of(second)
    names = [write.name for write in cancelled(healthy, began)]
    assert len(names) == len(set(names)), "never a second, blind try"
    (left,) = [c for c in healthy.ledger.changes.of_run(first) if c.field == "execution" and c.before != "unread"]
    assert left.state in (ChangeState.INTENDED, ChangeState.IN_EFFECT, ChangeState.EFFECT_UNKNOWN)
