"""Which events start what: Prefect's own matching is asked, and no lifecycle flow is ever an answer."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.server.events.schemas.automations import AutomationCore, EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from deployments.automations import SHORTEST, SILENT_FOR, wanted
from deployments.cli.automations import app
from deployments.cli.output import UserError
from deployments.manifest import HEARTBEAT, LIFECYCLE_TAG, manifest

DEPLOYMENTS: dict[str, Any] = {deployment["name"]: deployment for deployment in manifest()["deployments"]}
RUNBOOK = "high-task-queue-depth"
LIFECYCLE = [name for name, deployment in DEPLOYMENTS.items() if LIFECYCLE_TAG in deployment["tags"]]
ENDS = {
    "NotRecovered": "FAILED",
    "Refused": "FAILED",
    "BadInput": "FAILED",
    "Failed": "FAILED",
    "Crashed": "CRASHED",
    "Recovered": "COMPLETED",
    "SteppedAside": "CANCELLED",
    "Suspended": "PAUSED",
    "Running": "RUNNING",
}


def event(deployment: str, name: str, state_type: str | None = None) -> ReceivedEvent:
    """What the server (or, for a heartbeat, the run) says of a run of this deployment."""
    resource = {"prefect.resource.id": f"prefect.flow-run.{uuid.uuid4()}", "prefect.resource.name": "a run"}
    if state_type:
        resource |= {"prefect.state-type": state_type, "prefect.state-name": name}
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tagged(deployment)]
    flow = {"prefect.resource.id": f"prefect.flow.{uuid.uuid4()}", "prefect.resource.role": "flow"}
    return ReceivedEvent.model_validate(
        {
            "id": uuid.uuid4(),
            "occurred": datetime.now(UTC),
            "event": f"prefect.flow-run.{name}",
            "resource": resource,
            "related": [flow, *tags],
        }
    )


def tagged(deployment: str) -> list[str]:
    tags: list[str] = DEPLOYMENTS[deployment]["tags"]
    return tags


def escalates() -> EventTrigger:
    (trigger,) = DEPLOYMENTS["escalate"]["triggers"]
    return EventTrigger.model_validate(trigger)


def dead_run() -> AutomationCore:
    (automation,) = wanted()
    return AutomationCore.model_validate(automation.model_dump(mode="json"))


@pytest.mark.parametrize("name", ENDS)
def test_what_fails_or_crashes_is_escalated_whatever_the_state_is_called(name: str) -> None:
    assert escalates().covers(event(RUNBOOK, name, ENDS[name])) is (ENDS[name] in ("FAILED", "CRASHED"))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_only_runbooks_are_escalated(name: str) -> None:
    assert escalates().covers(event(name, "Crashed", "CRASHED")) is ("runbook" in tagged(name))


def test_a_heartbeat_escalates_nothing() -> None:
    assert not escalates().covers(event(RUNBOOK, "heartbeat"))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_heartbeats_of_all_but_the_lifecycle_flows_are_watched(name: str) -> None:
    trigger = dead_run().trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.covers(event(name, "heartbeat")) is (name not in LIFECYCLE)


def test_a_lifecycle_flow_that_ends_anyhow_starts_nothing() -> None:
    assert LIFECYCLE == ["escalate"]
    triggers = [EventTrigger.model_validate(t) for d in DEPLOYMENTS.values() for t in d.get("triggers", ())]
    triggers += [trigger for trigger in (dead_run().trigger,) if isinstance(trigger, EventTrigger)]
    for name, state_type in ENDS.items():
        assert not [t for t in triggers for lifecycle in LIFECYCLE if t.covers(event(lifecycle, name, state_type))]


def test_no_deployment_is_both_watched_and_a_lifecycle_flow() -> None:
    for name in LIFECYCLE:
        assert tagged(name) == [LIFECYCLE_TAG]
        assert DEPLOYMENTS[name]["concurrency_limit"]["limit"] < 10


def test_a_silent_run_is_crashed_and_never_one_that_has_ended() -> None:
    (action,) = dead_run().actions
    assert action.model_dump(include={"type", "state", "force"}) == {
        "type": "change-flow-run-state",
        "state": "CRASHED",
        "force": False,
    }


def test_a_late_heartbeat_is_no_death() -> None:
    assert SILENT_FOR >= SHORTEST >= 3 * HEARTBEAT
    for deployment in DEPLOYMENTS.values():
        beats = deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
        assert timedelta(seconds=int(beats)) == HEARTBEAT


def test_a_time_that_is_too_short_is_refused() -> None:
    with pytest.raises(UserError, match="at least 90s"):
        app(["apply", "--silent-for", "60s"], exit_on_error=False, print_error=False, result_action="return_value")
