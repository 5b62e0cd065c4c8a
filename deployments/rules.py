"""Prometheus alert rules, made from the runbooks' triggers and a site's numbers."""

from __future__ import annotations

from typing import Any

import yaml

from flows.catalogue import RUNBOOKS
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tasks.systems.prometheus import promql, seconds

WATCHDOG = "RunbooksWatchdog"


def rules(platform: Platform) -> dict[str, Any]:
    """The rule file of one site: an alert per runbook, bearing the labels that the site answers to."""
    of_platform = [runbook for runbook in RUNBOOKS.values() if isinstance(platform, runbook.platform)]
    ours = [_rule(runbook, platform) for runbook in of_platform]
    return {"groups": [{"name": f"runbooks-{platform.slug()}", "rules": [*ours, _watchdog(platform)]}]}


def _watchdog(platform: Platform) -> dict[str, Any]:
    """An alert that is always on: when it is not heard any more, no other one would be."""
    return {
        "alert": WATCHDOG,
        "expr": "vector(1)",
        "labels": {"severity": "none", **platform.alert_labels},
        "annotations": {"summary": "Alerts of this site arrive"},
    }


def _rule(runbook: AnyRunbook, platform: Platform) -> dict[str, Any]:
    trigger = runbook.trigger(platform)
    return {
        "alert": runbook.alert,
        "expr": f"{promql(trigger.question, platform.prometheus_scope())} {trigger.broken.operator} "
        f"{trigger.broken.bound:g}",
        "for": seconds(trigger.hold) if trigger.hold else "0s",
        "labels": {"severity": runbook.severity.value, **platform.alert_labels},
        "annotations": {
            "summary": f"{runbook.title}: {trigger.text}, now {{{{ $value }}}}",
            "runbook": runbook.id,
        },
    }


def rules_yaml(platform: Platform) -> str:
    """The rule file as text."""
    return yaml.safe_dump(rules(platform), sort_keys=False)
