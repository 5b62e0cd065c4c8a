"""Approval on a live Prefect server: by the form's own call, and what an answer is not good for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.practice import NUMBERS, PACE
from lab.model import Form
from tasks.ledger import Answer, Approval
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Trust
from tests.live.conftest import HTTP, Commands, World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

RUNBOOK, ALERT = "high_task_queue_depth", "HighTaskQueueDepth"


def question(world: World, *, other_than: str = "") -> Approval:
    """The plan that waits for an answer, once the run is suspended."""

    def asked() -> Approval | None:
        return next((a for a in world.ledger.approvals.waiting() if a.key != other_than and suspended(world, a)), None)

    return wait_for("a question", asked, 120)


def suspended(world: World, approval: Approval) -> bool:
    return world.state_of(approval.run) == ("PAUSED", "Suspended")


def broken(world: World) -> tuple[datetime, Incident, str, Approval]:
    """What one change would cure. The moment before, the incident, its run, and the plan that it asks about."""
    began = datetime.now(UTC)
    world.break_("queue-overload", Form.CURABLE_AT_ONCE)
    incident = world.incident(ALERT)
    run = world.run_of(incident)
    return began, incident, run, question(world)


def answer_in_the_form(world: World, run: str, **given: Any) -> Any:
    """What the page sends when a person submits the form."""
    return HTTP.post(f"{world.at.api}/flow_runs/{run}/resume", json={"run_input": given}, timeout=20).json()


def test_a_plan_is_approved_in_the_form_and_survives_the_worker(healthy: World) -> None:
    """A site that trusts no runbook to act: the whole plan waits. The worker dies meanwhile, and another goes on."""
    healthy.save_site(trust=Trust.APPROVE)
    began, _, run, asked = broken(healthy)

    assert asked.run == run
    assert healthy.writes(began) == []
    assert healthy.ledger.locks.of_run(run) == [], "nothing is held while a person thinks"
    wait_for("the call", lambda: healthy.calls(f"approve plan {asked.key}"), 30)

    refused = answer_in_the_form(healthy, run, choice="perhaps")
    assert refused["status"] == "REJECT", "what the form does not offer is no answer"
    healthy.stack.kill("worker")
    accepted = answer_in_the_form(healthy, run, choice="approve", name="ada <b>")
    assert accepted["status"] == "ACCEPT"
    healthy.stack.start_worker()

    record, report = healthy.end_of(run)
    assert record.outcome is Outcome.RECOVERED, report.verdict
    (write,) = healthy.writes(began, accepted=True)
    assert write.resource == "horizontalpodautoscalers"
    assert [(a.key, a.answer, a.by) for a in report.approvals] == [(asked.key, "approved", "ada <b>")]


@pytest.mark.prove
def test_an_answer_is_for_its_plan_only(healthy: World) -> None:
    """Between question and answer a person scales by hand: the plan is another one now, and is asked anew."""
    healthy.save_site(trust=Trust.APPROVE)
    began = datetime.now(UTC)
    healthy.break_("queue-overload", Form.CURABLE_LATER)  # the autoscaler is at its ceiling: bigger pools are the plan
    run = healthy.run_of(healthy.incident(ALERT))
    first = question(healthy)
    assert any("10 -> 15" in line for line in first.plan)

    healthy.save_site(
        trust=Trust.APPROVE,
        high_task_queue_depth=NUMBERS[RUNBOOK].model_copy(update={"workers_per_pod": 12, "critical_limit": 1_000_000}),
    )
    answer_in_the_form(healthy, run, choice="approve", name="ada")
    second = question(healthy, other_than=first.key)

    assert second.run == run
    assert any("10 -> 12" in line for line in second.plan)
    assert healthy.writes(began) == [], "the first answer authorised nothing else"
    answer_in_the_form(healthy, run, choice="decline", name="ada")
    healthy.end_of(run)
    assert healthy.writes(began) == []


@pytest.mark.prove
def test_a_question_that_nobody_answers_expires(healthy: World) -> None:
    healthy.save_site(trust=Trust.APPROVE, pace=PACE.model_copy(update={"approve_minutes": 0.2}))
    began, _, run, _ = broken(healthy)

    record, report = healthy.end_of(run)

    assert record.outcome is Outcome.REFUSED
    assert {line.answer for line in report.approvals} == {"expired"}
    assert healthy.writes(began) == []
    assert healthy.calls("Refused")


@pytest.mark.prove
def test_a_question_is_withdrawn_when_the_alert_resolves(healthy: World, commands: Commands) -> None:
    healthy.save_site(trust=Trust.APPROVE)
    began, _, run, asked = broken(healthy)
    healthy.ground.heal()

    record, _ = healthy.end_of(run)

    assert record.outcome in (Outcome.NOTHING_TO_DO, Outcome.RECOVERED)
    withdrawn = healthy.ledger.approvals.get(asked.key)
    assert withdrawn is not None
    assert withdrawn.answer is Answer.WITHDRAWN
    assert healthy.writes(began) == []
    code, _, error = commands.run("approve", asked.key)
    assert (code, "withdrawn" in error) == (2, True)


@pytest.mark.prove
def test_a_person_takes_the_incident(healthy: World, commands: Commands) -> None:
    """'I have it': the suspended run ends without a write, and nobody else is called."""
    healthy.save_site(trust=Trust.APPROVE)
    began, incident, run, asked = broken(healthy)

    assert commands.run("take", incident.id[:8], "--by", "ada")[0] == 0
    assert commands.run("approve", asked.key)[0] == 0
    record, report = healthy.end_of(run)

    assert record.outcome is Outcome.STEPPED_ASIDE
    assert "ada" in report.verdict
    assert healthy.writes(began) == []
