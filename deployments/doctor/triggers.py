"""The triggers of the deployments, which Prefect keeps as automations: an incident's event starts its runbook."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import Automation, AutomationCore
from pydantic import TypeAdapter

from deployments.doctor.deployed import DEPLOY, find
from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.systems.prefect import get_client

_LATER = "the incident's event starts no run; the intake's watch starts one a minute later, if an intake runs"

MISSING = Kind("trigger-missing", Health.BROKEN, _LATER, DEPLOY)
DISABLED = Kind("trigger-disabled", Health.BROKEN, _LATER, "prefect automation resume '{trigger}'")
DIFFERS = Kind(
    "trigger-differs",
    Health.BROKEN,
    "it listens to other events, or starts runs with other parameters, than this code sends and takes",
    DEPLOY,
)
KINDS = (MISSING, DISABLED, DIFFERS)

_SPECS: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as it should be and, by its name, as the server has it."""

    deployment: str
    wanted: AutomationCore
    found: tuple[Automation, ...]


def read(entry: Mapping[str, Any]) -> tuple[Trigger, ...]:
    """The triggers of an entry of `prefect.yaml`; none where it is not deployed, which is told elsewhere."""
    name = str(entry["name"])
    with get_client(sync_client=True) as client:
        deployment = find(client, name, name)
        if deployment is None:
            return ()
        return tuple(
            Trigger(name, wanted, tuple(client.read_automations_by_name(wanted.name)))
            for wanted in automations(entry, deployment.id)
        )


def automations(entry: Mapping[str, Any], deployment: UUID) -> list[AutomationCore]:
    """What `prefect deploy` makes of the triggers of an entry."""
    triggers = [_SPECS.validate_python(copy.deepcopy(spec)) for spec in entry.get("triggers", ())]
    for trigger in triggers:
        trigger.set_deployment_id(deployment)
    return [trigger.as_automation() for trigger in triggers]


def judge(trigger: Trigger) -> Iterable[Finding]:
    """Whether the event will start the run."""
    wanted, deployment = trigger.wanted, trigger.deployment
    what = f"trigger “{wanted.name}”"
    same = [one for one in trigger.found if (one.trigger, one.actions) == (wanted.trigger, wanted.actions)]
    if not trigger.found:
        yield MISSING.found(what, "the server has no such automation", deployment=deployment)
    elif not same:
        yield DIFFERS.found(what, "the server has it with another content", deployment=deployment)
    elif not any(found.enabled for found in same):
        yield DISABLED.found(what, "it is off", trigger=wanted.name)
    else:
        yield fine(what, "on")
