"""The alert rules in a site's Prometheus: whether each runbook's alert can fire, and then leads to its site."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import yaml

from deployments.doctor.expressions import selectors, threshold
from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.rules import WATCHDOG
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tasks.sites import Site
from tasks.systems.prometheus import Prometheus

_RULES = "runbooks rules {site} > runbooks.rules.yml, name that file under rule_files in prometheus.yml, and reload it"
_NEVER = "the alert never fires: nothing starts the runbook but a person and the health check"

MISSING = Kind("rule-missing", Health.BROKEN, _NEVER, _RULES)
UNHEALTHY = Kind("rule-unhealthy", Health.BROKEN, _NEVER, _RULES + "; what Prometheus says of it: {error}")
NO_SERIES = Kind(
    "rule-without-series",
    Health.BROKEN,
    _NEVER + "; its silence passes for health",
    _RULES + "; or have somebody export {missing}",
)
THRESHOLD = Kind(
    "rule-threshold-differs",
    Health.BROKEN,
    "alert and runbook disagree on what is broken: a run finds nothing to do while the alert is on, or starts too late",
    _RULES + "; or set the site's number to the rule's",
)
HOLD = Kind(
    "rule-hold-differs",
    Health.DOUBTFUL,
    "the alert fires sooner or later than the site's numbers say, and than the health check raises it",
    _RULES + "; or set the site's hold_minutes to the rule's",
)
NOT_COMPARABLE = Kind(
    "rule-not-comparable",
    Health.DOUBTFUL,
    "whether the alert fires when the runbook thinks it should cannot be told from its text",
    "compare it by eye with: runbooks rules {site}",
)
NOWHERE = Kind(
    "rule-leads-nowhere",
    Health.BROKEN,
    "the alert fires and no site answers to its labels: it opens no incident",
    "give the rule the labels {wanted} (runbooks rules {site} prints it so), or set alert_labels of the site",
)
NO_WATCHDOG = Kind(
    "watchdog-missing",
    Health.DOUBTFUL,
    "when alerts get lost on their way, nobody is told: silence passes for health",
    _RULES + "; and have Alertmanager repeat it, as docs/intake.md shows",
)
KINDS = (MISSING, UNHEALTHY, NO_SERIES, THRESHOLD, HOLD, NOT_COMPARABLE, NOWHERE, NO_WATCHDOG)


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert rule as Prometheus has it. `missing` are its selectors that no series matches now; `carried` are the
    labels of what it watches now, None where that cannot be told from its text."""

    alert: str
    expression: str
    labels: Mapping[str, str]
    hold: timedelta
    healthy: bool = True
    error: str = ""
    missing: tuple[str, ...] = ()
    carried: tuple[Mapping[str, str], ...] | None = ()

    def may_lead_to(self, platform: Platform) -> bool:
        """Whether an alert of this rule can bear all labels that a site answers to. A label that neither the rule nor
        the series that are there now say anything of may come with other series."""
        left = {key: value for key, value in platform.alert_labels.items() if key not in self.labels}
        fixed = all(self.labels.get(key, value) == value for key, value in platform.alert_labels.items())
        if not fixed or not platform.alert_labels or not left or not self.carried:
            return fixed and bool(platform.alert_labels)
        return any(all(series.get(key) == value for key, value in left.items()) for series in self.carried)


def read(prometheus: Prometheus, alerts: Iterable[str]) -> list[Rule]:
    """The rules of these names, with the labels that Prometheus adds to all its alerts."""
    groups = prometheus.get("/api/v1/rules", {"type": "alert"})["groups"]
    added, names = external_labels(prometheus), set(alerts)
    return [_rule(prometheus, rule, added) for group in groups for rule in group["rules"] if rule["name"] in names]


def external_labels(prometheus: Prometheus) -> Mapping[str, str] | None:
    """The labels that Prometheus adds to every alert it sends; None where it does not show its configuration."""
    shown = prometheus.show("/api/v1/status/config")
    if shown is None:
        return None
    configuration = yaml.safe_load(shown["yaml"]) or {}
    labels = (configuration.get("global") or {}).get("external_labels") or {}
    return {str(name): str(value) for name, value in labels.items()}


def _rule(prometheus: Prometheus, rule: Mapping[str, Any], added: Mapping[str, str] | None) -> Rule:
    expression = str(rule["query"])
    condition = threshold(expression)
    watched = () if "absent" in expression else selectors(expression)  # what asks for absence may find it
    missing = [one for one in watched if not _vector(prometheus, f"count({one})")]
    healthy = rule["health"] != "err"
    carried = None
    if condition is not None and healthy and added is not None:
        carried = tuple(series["metric"] for series in _vector(prometheus, condition.watched))
    return Rule(
        rule["name"], expression, {**(added or {}), **rule["labels"]}, timedelta(seconds=float(rule["duration"])),
        healthy, rule.get("lastError", ""), tuple(missing), carried,
    )  # fmt: skip


def _vector(prometheus: Prometheus, query: str) -> list[Any]:
    found = prometheus.get("/api/v1/query", {"query": query})
    return list(found["result"]) if found["resultType"] == "vector" else [{"metric": {}}]


def judge(site: Site, others: Sequence[Site], runbook: AnyRunbook, found: Sequence[Rule]) -> Iterable[Finding]:
    """Whether the runbook's alert can fire, and concerns this site then. `others` are all sites that there are."""
    what, platform = f"alert rule {runbook.alert}", site.platform
    named = [rule for rule in found if rule.alert == runbook.alert]
    ours = [rule for rule in named if rule.may_lead_to(platform)]
    lost = [rule for rule in named if not any(rule.may_lead_to(other.platform) for other in others)]
    if not ours:
        wanted = ", ".join(f"{key}: {value}" for key, value in platform.alert_labels.items()) or "of a site"
        for rule in lost:
            seen = f"its alerts bear {_shown(rule)}"
            yield NOWHERE.found(what, seen, site.name, wanted=wanted)
        if not lost:
            seen = "Prometheus has none" if not named else f"the {len(named)} of this name are for other sites"
            yield MISSING.found(what, seen, site.name)
        return
    findings = [finding for rule in ours for finding in _fires(site, runbook, rule, what)]
    yield from findings
    if not findings:
        yield fine(what, f"{ours[0].expression}, for {ours[0].hold}", site.name)


def judge_watchdog(site: Site, found: Sequence[Rule]) -> Iterable[Finding]:
    """Whether there is an alert that is always on, by which the intake hears that alerts arrive."""
    what = f"alert rule {WATCHDOG}"
    if any(rule.alert == WATCHDOG and rule.healthy and rule.may_lead_to(site.platform) for rule in found):
        yield fine(what, "it leads to this site", site.name)
    else:
        yield NO_WATCHDOG.found(what, "Prometheus has none for this site", site.name)


def _shown(rule: Rule) -> str:
    labels = dict(rule.labels) | dict(rule.carried[0] if rule.carried else {})
    return ", ".join(f"{key}: {value}" for key, value in labels.items() if key != "__name__") or "no labels"


def _fires(site: Site, runbook: AnyRunbook, rule: Rule, what: str) -> Iterable[Finding]:
    """What keeps a rule from firing when the site's numbers say that it should."""
    trigger = runbook.trigger(site.platform)
    if not rule.healthy:
        yield UNHEALTHY.found(what, f"Prometheus cannot evaluate it: {rule.error}", site.name, error=rule.error)
    if rule.missing:
        missing = ", ".join(rule.missing)
        yield NO_SERIES.found(what, f"nobody exports {missing}", site.name, missing=missing)
    condition, broken = threshold(rule.expression), trigger.broken
    if condition is None:
        yield NOT_COMPARABLE.found(what, f"it does not end in one number: {rule.expression}", site.name)
    elif condition.operator != broken.operator or not math.isclose(condition.bound, broken.bound):
        seen = f"it fires {condition}, the site says {broken.operator} {broken.bound:g}"
        yield THRESHOLD.found(what, seen, site.name)
    if abs(rule.hold - trigger.hold) > timedelta(seconds=1):  # durations of rules are whole seconds
        yield HOLD.found(what, f"it fires after {rule.hold}, the site says {trigger.hold}", site.name)
