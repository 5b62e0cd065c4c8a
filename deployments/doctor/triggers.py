"""The automations: the triggers of the deployments (an incident's event starts its runbook), and those beside them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import Automation, AutomationCore
from pydantic import TypeAdapter

from deployments.automations import Fate, Told, present
from deployments.doctor.deployed import DEPLOY, find
from deployments.doctor.finding import Finding, Health, Kind, fine

_LATER = "the incident's event starts no run; the intake's watch starts one a minute later, if an intake runs"

MISSING = Kind("trigger-missing", Health.BROKEN, _LATER, DEPLOY)
DISABLED = Kind("trigger-disabled", Health.BROKEN, _LATER, "prefect automation resume '{trigger}'")
DIFFERS = Kind(
    "trigger-differs",
    Health.BROKEN,
    "it listens to other events, or starts runs with other parameters, than this code sends and takes",
    DEPLOY,
)
_DEAD = "a run that dies in silence is left to the intake's watch; where no intake runs, nobody looks after it"
APPLY = "runbooks automations apply"

NO_AUTOMATION = Kind("automation-missing", Health.BROKEN, _DEAD, APPLY)
AUTOMATION_OFF = Kind("automation-disabled", Health.DOUBTFUL, _DEAD, "prefect automation resume '{trigger}'")
AUTOMATION_DIFFERS = Kind(
    "automation-differs", Health.DOUBTFUL, "runs are taken for dead sooner or later than this code would have it", APPLY
)
KINDS = (MISSING, DISABLED, DIFFERS, NO_AUTOMATION, AUTOMATION_OFF, AUTOMATION_DIFFERS)

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


def read_others() -> list[Told]:
    """The automations that `prefect.yaml` cannot express."""
    with get_client(sync_client=True) as client:
        return present(client)


def judge_other(told: Told) -> Iterable[Finding]:
    """Whether one of those is there, and on."""
    what = f"automation “{told.name}”"
    if told.fate is Fate.MISSING:
        yield NO_AUTOMATION.found(what, "the server has none")
    elif not told.enabled:
        yield AUTOMATION_OFF.found(what, "it is off", trigger=told.name)
    elif told.fate is not Fate.UNCHANGED:
        yield AUTOMATION_DIFFERS.found(what, f"the server has it {told.fate.value}")
    else:
        yield fine(what, "on")
