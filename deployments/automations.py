"""The automations that `prefect.yaml` cannot express, because they start no deployment.

They are shown and can be extended in the Prefect UI; `runbooks automations` puts them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore

from deployments.manifest import CHECK_TAG, HEARTBEAT, RESTORE_TAG, RUNBOOK_TAG

PREFIX = "runbooks: "
SILENT_FOR = 4 * HEARTBEAT
SHORTEST = 3 * HEARTBEAT  # with less, one heartbeat that comes late is taken for a death

_COMPARED = {"description", "trigger", "actions", "actions_on_trigger", "actions_on_resolve"}


class Fate(StrEnum):
    """How an automation is at the server, or what was done to it."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    MISSING = "missing"
    DIFFERENT = "different"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Told:
    """One automation. Who switches one off in the UI finds it off after the next `apply`, too."""

    name: str
    fate: Fate
    enabled: bool
    what: str


def wanted(silent_for: timedelta = SILENT_FOR) -> tuple[AutomationCore, ...]:
    """All automations, as they should be."""
    return (dead_run(silent_for),)


def dead_run(silent_for: timedelta = SILENT_FOR) -> AutomationCore:
    """A run that gives no sign of life any more is set to Crashed.

    A run that ends or is suspended says so by an event of its own, and is expected to do nothing more.
    """
    tags = [f"prefect.tag.{tag}" for tag in (RUNBOOK_TAG, RESTORE_TAG, CHECK_TAG)]
    seconds = silent_for.total_seconds()
    return AutomationCore.model_validate(
        {
            "name": f"{PREFIX}dead run",
            "description": f"A run that gave no sign of life for {seconds:g} seconds is set to Crashed. "
            "Made by `runbooks automations apply`.",
            "enabled": True,
            "trigger": {
                "type": "event",
                "posture": "Proactive",
                "match": {"prefect.resource.id": "prefect.flow-run.*"},
                "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": tags},
                "after": ["prefect.flow-run.heartbeat"],
                "expect": ["prefect.flow-run.*"],
                "for_each": ["prefect.resource.id"],
                "threshold": 1,
                "within": seconds,
            },
            "actions": [
                {
                    "type": "change-flow-run-state",
                    "state": "CRASHED",
                    "name": "Crashed",
                    "message": f"gave no sign of life for {seconds:g} seconds",
                    "force": False,  # never a run that has ended meanwhile
                }
            ],
        }
    )


def apply(client: SyncPrefectClient, silent_for: timedelta = SILENT_FOR) -> list[Told]:
    """Makes the automations at the server what they should be, whatever is there."""
    return [_apply(client, automation) for automation in wanted(silent_for)]


def present(client: SyncPrefectClient) -> list[Told]:
    """How the automations are at the server."""
    found = []
    for automation in wanted():
        known = _known(client, automation)
        fate = Fate.MISSING if not known else Fate.UNCHANGED if _same(known, automation) else Fate.DIFFERENT
        found.append(_told(automation, fate, enabled=any(one.enabled for one in known)))
    return found


def remove(client: SyncPrefectClient) -> list[Told]:
    """Takes the automations away from the server; what is not there is left out."""
    gone = []
    for automation in wanted():
        known = _known(client, automation)
        for one in known:
            client.delete_automation(one.id)
        gone += [_told(automation, Fate.REMOVED, enabled=False)] if known else []
    return gone


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> Told:
    known = _known(client, automation)
    if not known:
        client.create_automation(automation)
        return _told(automation, Fate.CREATED, enabled=True)
    enabled = all(one.enabled for one in known)
    if _same(known, automation):
        return _told(automation, Fate.UNCHANGED, enabled=enabled)
    client.update_automation(known[0].id, automation.model_copy(update={"enabled": enabled}))
    for twin in known[1:]:  # two who applied at once
        client.delete_automation(twin.id)
    return _told(automation, Fate.UPDATED, enabled=enabled)


def _known(client: SyncPrefectClient, automation: AutomationCore) -> list[Automation]:
    return client.read_automations_by_name(automation.name)


def _same(known: Sequence[Automation], automation: AutomationCore) -> bool:
    return [_content(one) for one in known] == [_content(automation)]


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include=_COMPARED)


def _told(automation: AutomationCore, fate: Fate, *, enabled: bool) -> Told:
    return Told(automation.name, fate, enabled, automation.description)
