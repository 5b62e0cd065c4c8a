"""Without the intake: Prefect's own automations see to it that no fallen run is left to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Failed, Scheduled

from deployments import automations
from deployments.practice import SITE
from flows.catalogue import RUNBOOKS
from lab.model import Form
from tasks.incidents import new_incident
from tasks.model.incident import Incident, Raiser
from tasks.model.outcome import Outcome
from tasks.systems.prefect import get_client
from tests.live.conftest import HTTP, Commands, World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

RUNBOOK, ALERT = "high_task_queue_depth", "HighTaskQueueDepth"
SLUG = RUNBOOKS[RUNBOOK].slug
FAULT = "queue-overload"
TAKEN = '{"status": "success", "message": "Event processed", "dedup_key": "x"}'


@pytest.fixture
def alone(healthy: World) -> Iterator[World]:
    """The world while its intake is down: nobody watches but Prefect."""
    healthy.stack.kill("intake")
    yield healthy
    healthy.pager.answers(202, TAKEN)
    healthy.ground.heal()
    for incident in healthy.ledger.incidents.still_open():
        healthy.ledger.incidents.close(incident.id, datetime.now(UTC))
    healthy.wake_all()
    healthy.stack.start_intake()
    healthy.stack.await_intake()


def raised(world: World, form: Form) -> tuple[Incident, str]:
    """Breaks the ground, and does what the intake would do: an incident, and a run for it."""
    world.break_(FAULT, form)
    alerts = f"{world.endpoints.alertmanager_url}/api/v2/alerts"
    wait_for("the alert", lambda: ALERT in HTTP.get(alerts).text, 60)
    incident, _ = world.ledger.incidents.open(
        new_incident(
            raiser=Raiser.PERSON,
            alert=ALERT,
            runbook=RUNBOOK,
            site=SITE,
            severity="warning",
            summary="many wait",
            started_at=datetime.now(UTC),
        )
    )
    return incident, world.start(SLUG, site=SITE, incident=incident.id)


def runs_of(deployment: str, **parameters: str) -> list[FlowRun]:
    """The runs of a deployment with these parameters, as the server knows them."""
    with get_client(sync_client=True) as client:
        named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
        found = client.read_flow_runs(deployment_filter=named)
    return [run for run in found if parameters.items() <= run.parameters.items()]


def escalated(run: str, ending: str, seconds: float = 150) -> FlowRun:
    """The escalation of a run that ended in this way. A server that is busy may start more than one."""

    def ended() -> FlowRun | None:
        return next((one for one in runs_of("escalate", run=run) if one.state_name == ending), None)

    return wait_for(f"an escalation that ends as {ending}", ended, seconds)


@pytest.mark.prove
def test_a_failed_gate_that_reached_nobody_is_escalated(alone: World) -> None:
    """The pager refuses the run's own call; the state's name is the outcome's, and its type starts the escalation."""
    alone.save_site(escalate_after_minutes=0.2)
    alone.pager.answers(400, '{"status": "invalid event"}')
    _, run = raised(alone, Form.INCURABLE)
    record, report = alone.end_of(run)
    assert (record.outcome, alone.ended_in_prefect(run)) == (Outcome.NOT_RECOVERED, ("FAILED", "NotRecovered"))
    assert [call.error != "" for call in report.calls] == [True]
    alone.pager.arrived.clear()
    alone.pager.answers(202, TAKEN)

    escalated(run, "Called")
    (call,) = alone.calls("NotRecovered")
    assert call["links"][0]["href"].endswith(run)


@pytest.mark.prove
def test_a_silent_run_is_crashed_and_picked_up_once(alone: World) -> None:
    """Halted with SIGSTOP: no process ends, so nobody notices but the automation that misses its heartbeat."""
    began = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        automations.apply(client, timedelta(seconds=40))
    try:
        alone.fail_at("before decide", act="stop")
        incident, first = raised(alone, Form.CURABLE_AT_ONCE)
        wait_for("the halt", lambda: alone.failed, 90)
        wait_for("the crash", lambda: alone.state_of(first)[0] == "CRASHED", 120)
        second = alone.run_of(incident, other_than=first, seconds=240)
        record, report = alone.end_of(second)
    finally:
        with get_client(sync_client=True) as client:
            automations.apply(client)

    assert record.outcome is Outcome.RECOVERED, report.verdict
    assert [write.resource for write in alone.writes(began, accepted=True)] == ["horizontalpodautoscalers"]
    escalated(first, "PickedUp")
    assert len(runs_of(SLUG, incident=incident.id)) == 2
    found = alone.ledger.incidents.get(incident.id)
    assert found is not None
    assert (found.pickups, found.resolved_at is not None) == (1, True)
    assert alone.calls() == []


@pytest.mark.prove
def test_an_escalation_that_is_killed_starts_nothing(alone: World) -> None:
    """It crashes as the run did that it looks after, and nothing looks after it; the watch does, when it is back."""
    alone.fail_at("before diagnose: task queue")
    run = alone.start(SLUG, site=SITE)
    wait_for("the kill of the run", lambda: alone.failed, 90)
    _forget_the_hit(alone)
    alone.fail_at("before escalate")
    killed = escalated(run, "Crashed")

    # Prefect takes events in their order: when a later one has led to a run, this one leads to none any more.
    later = _fails_before_it_begins()
    escalated(later, "NotNeeded")
    assert runs_of("escalate", run=str(killed.id)) == []

    alone.stack.start_intake()
    wait_for("the call", lambda: alone.calls("ended without a word"), 60)
    assert len(alone.calls()) == 1


@pytest.fixture
def as_deployed(world: World) -> Iterator[None]:
    """The automations are left as they were found, on."""
    yield
    with get_client(sync_client=True) as client:
        automations.remove(client)
        automations.apply(client)


@pytest.mark.usefixtures("as_deployed")
def test_the_command_keeps_the_automations_as_they_should_be(commands: Commands) -> None:
    def told(*words: str) -> list[tuple[str, str, bool]]:
        answer: list[dict[str, Any]] = commands.answer("automations", *words)
        return [(one["name"], one["fate"], one["enabled"]) for one in answer]

    name = "runbooks: dead run"
    assert told("list") == [(name, "unchanged", True)], "deployed with the rest"
    assert told("apply") == [(name, "unchanged", True)]
    assert told("apply", "--silent-for", "5m") == [(name, "updated", True)]
    assert told("list") == [(name, "different", True)]
    with get_client(sync_client=True) as client:
        (found,) = client.read_automations_by_name(name)
        client.pause_automation(found.id)
        client.create_automation(AutomationCore.model_validate(found.model_dump(exclude={"id"})))
    assert told("apply") == [(name, "updated", False)], "who switched it off has it off, and the twin is gone"
    assert told("remove") == [(name, "removed", False)]
    assert (told("remove"), told("list")) == ([], [(name, "missing", False)])
    assert told("apply") == [(name, "created", True)]
    assert told("list") == [(name, "unchanged", True)]


def _forget_the_hit(world: World) -> None:
    world.fail_plan.with_suffix(world.fail_plan.suffix + ".hit").unlink()


def _fails_before_it_begins() -> str:
    """A run of a runbook that is set to failed before a worker takes it."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{SLUG}/{SLUG}")
        some_day: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"site": SITE}, state=some_day)
        client.set_flow_run_state(UUID(str(run.id)), Failed(name="BadInput"), force=True)
    return str(run.id)
