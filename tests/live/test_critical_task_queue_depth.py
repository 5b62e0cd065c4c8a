"""Critical task queue depth, the whole way; and how it takes the target over from the lesser runbook."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deployments.practice import PACE
from flows.message_bus.numbers import PausedSources
from lab.model import Form
from tasks.ledger import Approval
from tasks.model.outcome import Outcome
from tests.live.conftest import Commands, World
from tests.live.test_high_task_queue_depth import body
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(500)]

FAULT, RUNBOOK, ALERT = "queue-critical", "critical_task_queue_depth", "CriticalTaskQueueDepth"
SILENT = "EventSourceSilent"  # an alert of the site's own, which no runbook answers to


def asked(world: World) -> Approval:
    """The question that the run of this alert asks."""

    def waiting() -> Approval | None:
        return next((a for a in world.ledger.approvals.waiting() if a.runbook == RUNBOOK), None)

    return wait_for("a question", waiting, 150)


def silences(world: World) -> dict[str, bool]:
    """Which event sources are said to be silent, and whether that is held back."""
    firing = world.ledger.strays.firing()
    return {one.labels["deployment"]: one.explained_by is not None for one in firing if one.alert == SILENT}


@pytest.mark.proves(RUNBOOK, "healthy")
@pytest.mark.prove
def test_a_healthy_system_is_left_alone(healthy: World) -> None:
    """The alert is forced while nothing is wrong; a person is paged all the same: the document says immediately."""
    began = datetime.now(UTC)
    healthy.force_alert(ALERT, "critical")
    record, _ = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    assert record.outcome is Outcome.NOTHING_TO_DO
    assert healthy.writes(began) == []
    assert len(healthy.calls()) == 1


@pytest.mark.proves(RUNBOOK, "cured at once")
def test_cured_by_the_steps_that_ask_nobody(healthy: World) -> None:
    """Pods, pools and their one rollout; the pauses are asked for, and not needed in the end."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))

    assert record.outcome is Outcome.RECOVERED, report.verdict
    mine = [(w.resource, w.name) for w in healthy.writes(began)]
    assert mine.count(("configmaps", "orchestration-config")) == 1
    assert mine.count(("deployments", "orchestration")) <= 1, "one rollout"
    assert not [name for _, name in mine if "publisher" in name]
    raised = [body(w)["spec"] for w in healthy.writes(began) if w.resource == "horizontalpodautoscalers"]
    assert raised[-1]["minReplicas"] == 10


@pytest.mark.proves(RUNBOOK, "cured later")
@pytest.mark.prove
def test_event_sources_are_paused_with_approval_and_come_back_step_by_step(healthy: World, commands: Commands) -> None:
    """A site that may not grow: only the pauses help, and they ask. Worker, intake and server die before they are given
    back; the publishers return one pod at a time all the same. An alert that says that a paused one is silent is held
    back meanwhile, and counts when it is still on afterwards."""
    own = PausedSources(alerts=(SILENT,), label="deployment", fade_minutes=0.05)
    healthy.save_site(replica_ceiling=2, worker_ceiling=10, paused_sources=own)
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_LATER)
    incident = healthy.incident(ALERT)
    run = healthy.run_of(incident)
    question = asked(healthy)
    assert {line.split(",")[0].rsplit("/")[-1] for line in question.plan} == {
        "analytics-publisher",
        "background-job-publisher",
    }
    assert commands.run("approve", question.key, "--by", "ada")[0] == 0

    record, report = healthy.end_of(run)
    assert record.outcome is Outcome.RECOVERED, report.verdict
    paused = [(w.name, body(w)["spec"]) for w in healthy.writes(began) if w.subresource == "scale" and w.accepted]
    assert sorted(paused) == [("analytics-publisher", {"replicas": 0}), ("background-job-publisher", {"replicas": 0})]
    assert len([line for line in report.still_changed if f"held back until then: {SILENT}" in line]) == 2
    healthy.force_alert(SILENT, "warning", deployment="analytics-publisher")
    healthy.force_alert(SILENT, "warning", deployment="orchestration")
    wait_for("both alerts", lambda: len(silences(healthy)) == 2, 30)
    assert silences(healthy) == {"analytics-publisher": True, "orchestration": False}
    (shown,) = commands.answer("status")["held_back"]
    assert f"on behalf of {RUNBOOK} (run {run[:8]})" in shown["why"]

    for name in ("worker", "intake", "prefect-server"):
        healthy.stack.kill(name)
    calm = datetime.now(UTC)
    healthy.ground.calm()
    healthy.stack.start_server()
    healthy.stack.start_intake()
    healthy.stack.start_worker()
    wait_for("everything to be given back", lambda: not healthy.ledger.claims.holdings(), 180)
    for name in ("analytics-publisher", "background-job-publisher"):
        back = [body(w)["spec"]["replicas"] for w in healthy.writes(calm) if w.name == name and w.accepted]
        assert back == [1, 2], "gradually, to the number that was recorded"
    wait_for("the alert to count", lambda: not any(silences(healthy).values()), 30)
    assert commands.answer("status")["held_back"] == []


@pytest.mark.proves(RUNBOOK, "incurable")
@pytest.mark.prove
def test_incurable(healthy: World) -> None:
    healthy.break_(FAULT, Form.INCURABLE)
    run = healthy.run_of(healthy.incident(ALERT))
    question = asked(healthy)
    healthy.ledger.approvals.answer(question.key, False, "ada")
    record, _ = healthy.end_of(run, seconds=300)
    assert record.outcome is Outcome.NOT_RECOVERED
    assert {call["payload"]["severity"] for call in healthy.calls("NotRecovered")} == {"critical"}


@pytest.mark.proves(RUNBOOK, "refused")
@pytest.mark.prove
def test_refused_by_the_file_on_the_worker(healthy: World) -> None:
    """The kill switch that works when nothing else does."""
    switch = healthy.pause_file
    switch.write_text("network maintenance\n")
    try:
        began = datetime.now(UTC)
        healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
        record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))
    finally:
        switch.unlink()
    assert record.outcome is Outcome.REFUSED
    assert "network maintenance" in report.verdict
    assert healthy.writes(began) == []


@pytest.mark.proves(RUNBOOK, "killed")
@pytest.mark.prove
def test_killed_in_the_middle_of_the_bundle(healthy: World) -> None:
    """After its second write; what was done is found done, the rest is made, nothing is made twice."""
    began = datetime.now(UTC)
    healthy.fail_at("settled", nth=2)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
    incident = healthy.incident(ALERT)
    first = healthy.run_of(incident)
    wait_for("the kill", lambda: healthy.failed, 90)
    second = healthy.run_of(incident, other_than=first, seconds=120)
    record, report = healthy.end_of(second)
    assert record.outcome in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO), report.verdict
    mine = [(w.resource, w.name) for w in healthy.writes(began)]
    assert mine.count(("configmaps", "orchestration-config")) == 1
    assert mine.count(("deployments", "orchestration")) <= 1


@pytest.mark.proves(RUNBOOK, "takes over")
@pytest.mark.prove
def test_it_takes_the_target_over_from_the_lesser_runbook(healthy: World) -> None:
    """The high run is halted with the lock in its hands, and its lease is long. The critical one does not wait for it;
    when the high one wakes up it writes nothing. When both have given back, all is as it was before the first."""
    healthy.save_site(pace=PACE.model_copy(update={"lease_seconds": 90}), trust_by_runbook={})
    began = datetime.now(UTC)
    healthy.fail_at("settled", act="stop")
    healthy.break_("queue-overload", Form.CURABLE_LATER)  # slowly growing: the critical alert follows
    high = healthy.run_of(healthy.incident("HighTaskQueueDepth"))
    wait_for("the halt after the first write", lambda: healthy.failed, 90)
    assert [(w.resource, body(w)["data"]) for w in healthy.writes(began)] == [
        ("configmaps", {"ORCHESTRATION_WORKER_POOL_SIZE": "15"})
    ]

    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT, seconds=180)))
    assert record.outcome is Outcome.RECOVERED, report.verdict
    healthy.wake_all()
    lesser, _ = healthy.end_of(high)
    assert lesser.outcome is not None
    reached = [c for c in healthy.ledger.changes.of_run(high) if c.state.value in ("applied", "in effect")]
    assert len(reached) == 1, "after the take-over it wrote nothing"

    calm = datetime.now(UTC)
    healthy.ground.calm()
    wait_for("everything to be given back", lambda: not healthy.ledger.claims.holdings(), 240)
    last = {(w.resource, w.name): body(w) for w in healthy.writes(calm)}
    assert last["configmaps", "orchestration-config"]["data"] == {"ORCHESTRATION_WORKER_POOL_SIZE": "10"}
    assert last["horizontalpodautoscalers", "orchestration"]["spec"] == {"minReplicas": 2, "maxReplicas": 2}
