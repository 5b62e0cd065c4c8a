"""High task queue depth, the whole way: fault, alert, intake, event, automation, worker, run, gate, report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from deployments.practice import SITE
from flows.message_bus.platform import Series
from lab.audit import AuditRecord
from lab.model import Form
from tasks.model.incident import Raiser
from tasks.model.outcome import Outcome
from tasks.systems.prefect import get_client
from tests.live.conftest import Commands, World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

FAULT, RUNBOOK, ALERT = "queue-overload", "high_task_queue_depth", "HighTaskQueueDepth"


@pytest.mark.proves(RUNBOOK, "healthy")
def test_a_healthy_system_is_left_alone(healthy: World) -> None:
    """The alert is forced at Alertmanager while nothing is wrong."""
    began = datetime.now(UTC)
    healthy.force_alert(ALERT, "warning")

    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))

    assert record.outcome is Outcome.NOTHING_TO_DO
    assert healthy.writes(began) == []
    assert report.changes == ()
    assert "tasks waiting, not more than 800" in report.verdict


@pytest.mark.proves(RUNBOOK, "cured at once")
def test_cured_by_the_first_option(healthy: World) -> None:
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)

    incident = healthy.incident(ALERT)
    run = healthy.run_of(incident)
    record, report = healthy.end_of(run)

    assert incident.raiser is Raiser.ALERTMANAGER
    assert record.outcome is Outcome.RECOVERED, report.verdict
    # The judge: exactly one write, to the autoscaler that owns the count.
    (write,) = healthy.writes(began, accepted=True)
    assert (write.verb, write.resource, write.name, write.code) == (
        "patch",
        "horizontalpodautoscalers",
        "orchestration",
        200,
    )
    assert body(write)["spec"] == {"minReplicas": 5, "maxReplicas": 10}
    assert body(write)["metadata"]["resourceVersion"]
    assert [line.holds for line in report.criteria] == ["yes", "yes", "yes"]
    assert [change.state for change in report.changes] == ["in effect"]
    assert [line.kind for line in report.timeline if line.kind in ("decided", "changed", "in effect", "ended")] == [
        "decided",
        "changed",
        "in effect",
        "ended",
    ]
    assert report.points[0][0] < report.moments[0][0] < report.points[-1][0]
    assert "at least 5" in report.still_changed[0]
    assert healthy.open_incident(ALERT) is None
    # A slow worker lets the queue grow until the critical alert calls somebody: that is another incident.
    assert healthy.calls("High task queue depth") == [], "nobody is called about what healed in time"
    assert healthy.ended_in_prefect(run) == ("COMPLETED", "Recovered")


@pytest.mark.proves(RUNBOOK, "cured later")
@pytest.mark.prove
def test_cured_by_a_later_option(healthy: World) -> None:
    """The autoscaler is at its ceiling: only bigger pools help."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_LATER)

    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))

    assert record.outcome is Outcome.RECOVERED, report.verdict
    assert "ceiling of 2" in report.options[0].verdicts[0]
    configmap, restart = healthy.writes(began, accepted=True)
    assert (configmap.verb, configmap.resource, body(configmap)["data"]) == (
        "patch",
        "configmaps",
        {"ORCHESTRATION_WORKER_POOL_SIZE": "15"},
    )
    assert (restart.verb, restart.resource, restart.name) == ("patch", "deployments", "orchestration")
    assert list(body(restart)["spec"]) == ["template"]


@pytest.mark.proves(RUNBOOK, "cured with approval")
@pytest.mark.prove
def test_cured_by_fewer_publishers_once_a_person_approves(healthy: World, commands: Commands) -> None:
    """Bigger pools are not allowed either here; fewer publishers always ask."""
    healthy.save_site(worker_ceiling=10)
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_LATER)
    run = healthy.run_of(healthy.incident(ALERT))

    (waiting,) = wait_for("a question", lambda: commands.answer("approve"), 90)
    assert healthy.writes(began) == []
    assert "event-publishers" in waiting["plan"][0]
    assert commands.run("approve", waiting["key"], "--by", "ada")[0] == 0

    record, report = healthy.end_of(run)
    assert record.outcome is Outcome.RECOVERED, report.verdict
    (write,) = healthy.writes(began, accepted=True)
    assert (write.resource, write.subresource, write.name, body(write)["spec"]) == (
        "deployments",
        "scale",
        "event-publishers",
        {"replicas": 1},
    )
    assert [(line.answer, line.by) for line in report.approvals] == [("approved", "ada")]


@pytest.mark.proves(RUNBOOK, "incurable")
@pytest.mark.prove
def test_incurable(healthy: World) -> None:
    """A downstream hangs: nothing that the document allows without a person helps, and the gate says so."""
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.INCURABLE)

    run = healthy.run_of(healthy.incident(ALERT))
    wait_for("the question about the publishers", lambda: healthy.ledger.approvals.waiting(), 120)
    (waiting,) = healthy.ledger.approvals.waiting()
    healthy.ledger.approvals.answer(waiting.key, False, "ada")  # the watch lets the run go on
    record, report = healthy.end_of(run, seconds=300)

    assert record.outcome is Outcome.NOT_RECOVERED
    tried = [write.resource for write in healthy.writes(began, accepted=True)]
    assert tried[:3] == ["horizontalpodautoscalers", "configmaps", "deployments"]
    # What did not help is taken back, the last first; the rollout for smaller pools too, because the practice ground's
    # site confirms that stopping pods give their tasks back.
    assert tried[3:] == ["configmaps", "deployments", "horizontalpodautoscalers"]
    assert [line.holds for line in report.criteria] == ["no", "no", "no"]
    incident = healthy.open_incident(ALERT)
    assert incident is not None
    assert incident.claimed_by == run
    assert healthy.ended_in_prefect(run) == ("FAILED", "NotRecovered")
    (page,) = healthy.calls("NotRecovered")
    assert page["payload"]["severity"] == "warning"
    assert page["links"][0]["href"].endswith(run)


@pytest.mark.proves(RUNBOOK, "refused")
@pytest.mark.prove
def test_refused_while_automation_is_paused(healthy: World, commands: Commands) -> None:
    """The kill switch, by command: the run looks and reports, and writes nothing."""
    assert commands.run("pause", "--reason", "a person works on the cluster")[0] == 0
    try:
        began = datetime.now(UTC)
        healthy.break_(FAULT, Form.CURABLE_AT_ONCE)
        run = healthy.run_of(healthy.incident(ALERT))
        record, report = healthy.end_of(run)
    finally:
        commands.run("resume")

    assert record.outcome is Outcome.REFUSED
    assert "a person works on the cluster" in report.verdict
    assert healthy.writes(began) == []
    assert healthy.calls("Refused")


@pytest.mark.proves(RUNBOOK, "blind")
@pytest.mark.prove
def test_what_cannot_be_read_is_changed_by_nobody(healthy: World) -> None:
    """The site names a series that nobody exports: the run looks twice, and then a person is called."""
    healthy.save_site(series=Series.model_validate({"pending": "queue_length"}))
    began = datetime.now(UTC)
    healthy.force_alert(ALERT, "warning")

    record, report = healthy.end_of(healthy.run_of(healthy.incident(ALERT)))

    assert record.outcome is Outcome.NOT_RECOVERED
    assert healthy.writes(began) == []
    looks = [line.text for line in report.timeline if line.kind == "decided"]
    assert len(looks) == 2
    assert all(look.startswith("cannot tell whether there is anything to do") for look in looks)
    assert any("queue_length" in line.before for line in report.readings)
    assert healthy.calls("NotRecovered")


@pytest.mark.proves(RUNBOOK, "killed")
def test_killed_after_the_write_and_picked_up(healthy: World) -> None:
    """The run dies with SIGKILL between its write and the word of it in the ledger; the next one writes no more."""
    began = datetime.now(UTC)
    healthy.fail_at("applied")
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)

    incident = healthy.incident(ALERT)
    first = healthy.run_of(incident)
    wait_for("the kill", lambda: healthy.failed, 90)
    second = healthy.run_of(incident, other_than=first, seconds=120)
    record, report = healthy.end_of(second)

    assert record.outcome in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO), report.verdict
    (write,) = healthy.writes(began, accepted=True)
    assert write.resource == "horizontalpodautoscalers"
    assert healthy.ledger.runs.get(first).crashed  # type: ignore[union-attr]
    assert healthy.state_of(first)[0] == "CRASHED"
    (holding,) = healthy.ledger.claims.holdings()
    assert holding.baseline == {"minReplicas": 2, "maxReplicas": 10}, "what was there before the first run"


@pytest.mark.prove
def test_a_site_without_monitoring_is_served_by_the_health_check(healthy: World) -> None:
    """No Prometheus, no Alertmanager: metrics come from the pods, and the scheduled check raises the incident."""
    healthy.save_site(prometheus_url="", alertmanager_url="", alert_labels={})
    wait_for("the intake to read the site again", lambda: _nobody_answers(healthy), 30)
    began = datetime.now(UTC)
    healthy.break_(FAULT, Form.CURABLE_AT_ONCE)

    def raised() -> bool:
        _check_now()
        return healthy.open_incident(ALERT) is not None

    wait_for("the health check to raise an incident", raised, 120)
    incident = healthy.incident(ALERT)
    record, report = healthy.end_of(healthy.run_of(incident))

    assert incident.raiser is Raiser.HEALTH_CHECK
    assert record.outcome is Outcome.RECOVERED, report.verdict
    assert len(healthy.writes(began)) == 1
    assert healthy.open_incident(ALERT) is None


def body(write: AuditRecord) -> dict[str, Any]:
    """What a write sent."""
    assert isinstance(write.body, dict)
    return write.body


def _nobody_answers(world: World) -> bool:
    """Whether the intake knows no site for the practice ground's alerts (a resolved one does no harm)."""
    labels = {"alertname": "HighTaskQueueDepth", "site": SITE}
    alert = {"status": "resolved", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}
    answer = httpx.post(
        f"{world.at.intake}/alerts",
        json={"version": "4", "alerts": [alert]},
        headers={"Authorization": f"Bearer {world.at.token}"},
    )
    return answer.json()["alerts"][0]["site"] is None


def _check_now() -> None:
    """Runs the deployed health check once, to its end."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("health-check/health-check")
        started = client.create_flow_run_from_deployment(deployment.id)

        def ended() -> bool:
            state = client.read_flow_run(started.id).state
            return state is not None and state.is_final()

        wait_for("the end of the health check", ended, 60)
