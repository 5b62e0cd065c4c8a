"""What the doctor makes of alert rules and of Alertmanager's receivers: each kind of finding appears, and is absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from deployments.doctor import held_back, receivers, rules
from deployments.doctor.expressions import selectors, threshold
from deployments.rules import rules as our_rules
from flows.catalogue import RUNBOOKS
from flows.message_bus.high_task_queue_depth import RUNBOOK
from tasks.sites import Site
from tests.unit.message_bus import bus
from tests.unit.test_doctor_installation import kinds

SITE = Site("prod", bus(alert_labels={"site": "prod"}))
OTHER = Site("test", bus(alert_labels={"site": "test"}))
GOOD = rules.Rule(
    "HighTaskQueueDepth", "max(orchestration_task_queue_pending) > 800", {"site": "prod"}, timedelta(minutes=5)
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], {"rule-missing"}),
        ([replace(GOOD, alert="AnotherName")], {"rule-missing"}),
        ([replace(GOOD, labels={"site": "test"})], {"rule-missing"}),  # it is the other site's
        ([replace(GOOD, labels={"site": "nowhere"})], {"rule-leads-nowhere"}),
        ([replace(GOOD, labels={}, carried=({"pod": "a"},))], {"rule-leads-nowhere"}),
        ([replace(GOOD, healthy=False, error="many-to-many")], {"rule-unhealthy"}),
        ([replace(GOOD, missing=("orchestration_task_queue_pending",))], {"rule-without-series"}),
        ([replace(GOOD, expression="max(orchestration_task_queue_pending) > 900")], {"rule-threshold-differs"}),
        ([replace(GOOD, expression="max(orchestration_task_queue_pending) >= 800")], {"rule-threshold-differs"}),
        ([replace(GOOD, hold=timedelta(minutes=1))], {"rule-hold-differs"}),
        ([replace(GOOD, expression="absent(up)", carried=None)], {"rule-not-comparable"}),
        ([replace(GOOD, labels={}, carried=({"site": "prod"}, {"site": "test"}))], set()),  # the series bear the label
        ([replace(GOOD, labels={})], set()),  # no series is there now: they may bear it
        ([GOOD, replace(GOOD, labels={"site": "test"})], set()),
        ([GOOD], set()),
    ],
)
def test_a_rule(found: list[rules.Rule], expected: set[str]) -> None:
    assert kinds(rules.judge(SITE, [SITE, OTHER], RUNBOOK, found)) == expected


@pytest.mark.parametrize("runbook", RUNBOOKS.values(), ids=lambda runbook: runbook.id)
def test_our_own_rules_are_fine(runbook: Any) -> None:
    ours = [
        rules.Rule(rule["alert"], rule["expr"], rule["labels"], timedelta(seconds=float(rule.get("for", "0s")[:-1])))
        for rule in our_rules(SITE.platform)["groups"][0]["rules"]
    ]
    assert kinds(rules.judge(SITE, [SITE], runbook, ours)) == set()
    assert kinds(rules.judge_watchdog(SITE, ours)) == set()


ALWAYS_ON = rules.Rule("RunbooksWatchdog", "vector(1)", {"site": "prod"}, timedelta(0), carried=None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([GOOD], {"watchdog-missing"}),
        ([replace(ALWAYS_ON, labels={"site": "test"})], {"watchdog-missing"}),
        ([replace(ALWAYS_ON, healthy=False)], {"watchdog-missing"}),
        ([GOOD, ALWAYS_ON], set()),
    ],
)
def test_the_watchdog(found: list[rules.Rule], expected: set[str]) -> None:
    assert kinds(rules.judge_watchdog(SITE, found)) == expected


# ---- expressions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alert", "found", "expected"),
    [
        ("SourceSilent", [replace(GOOD, alert="SourceSilent")], set()),
        ("SourceSilent", None, set()),  # there is no Prometheus to ask
        ("SourceSilent", [], {"held-back-alert-unknown"}),
        ("HighTaskQueueDepth", [GOOD], {"held-back-alert-starts-a-runbook"}),
        ("HighTaskQueueDepth", None, {"held-back-alert-starts-a-runbook"}),
    ],
)
def test_an_alert_that_is_held_back(alert: str, found: list[rules.Rule] | None, expected: set[str]) -> None:
    site = Site("prod", bus(paused_sources={"alerts": [alert]}))
    assert kinds(held_back.judge(site, RUNBOOKS.values(), found)) == expected


def test_where_nothing_is_held_back_nothing_is_said_of_it() -> None:
    assert not list(held_back.judge(SITE, RUNBOOKS.values(), []))


@pytest.mark.parametrize(
    ("expression", "watches", "against"),
    [
        ("max(a) > 800", ["a"], "> 800"),
        ("(max(a) > 5)", ["a"], "> 5"),
        ('sum by (x, y) (rate(a_total{job=~"b|c"}[5m])) > 0.5', ['a_total{job=~"b|c"}'], "> 0.5"),
        ("sum(rate(a[5m])) by (le) / on (x) group_left (y) b < 1e3", ["a", "b"], "< 1000"),
        ("a * (b >= bool c) > 50", ["a", "b", "c"], "> 50"),
        ('a{x="> 5 {}"} != -1.5e-3', ['a{x="> 5 {}"}'], "!= -0.0015"),
        ('{__name__="a b"} >= 1 # why > 7', ['{__name__="a b"}'], ">= 1"),
        ("a:b offset 5m > 1", ["a:b"], "> 1"),
        ("min_over_time((a / b)[5m:1m]) > 2", ["a", "b"], "> 2"),
        ("a @ start() > 1", ["a"], "> 1"),
        ("(a) > 5 and (b) < 3", ["a", "b"], None),
        ("a unless b > 3", ["a", "b"], None),
        ("a > bool 5", ["a"], None),
        ("5 < a", ["a"], None),
        ("a > b", ["a", "b"], None),
        ("absent(up)", ["up"], None),
        ("", [], None),
    ],
)
def test_what_an_expression_watches(expression: str, watches: list[str], against: str | None) -> None:
    assert list(selectors(expression)) == watches
    found = threshold(expression)
    assert (str(found) if found else None) == against


# ---- receivers -----------------------------------------------------------------------------------------------------

INTAKE = "http://intake:9087"
WEBHOOK = receivers.Webhook("runbooks", f"{INTAKE}/alerts")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], {"no-receiver"}),
        ([replace(WEBHOOK, url="http://chat/hook")], {"no-receiver"}),
        ([replace(WEBHOOK, url="<secret>")], {"receiver-hidden"}),
        ([replace(WEBHOOK, url="")], {"receiver-hidden"}),  # from a file
        ([replace(WEBHOOK, url="", routed=False)], {"receiver-hidden", "receiver-unrouted"}),
        ([replace(WEBHOOK, url="", token=False)], {"receiver-hidden", "receiver-without-token"}),
        ([replace(WEBHOOK, url="", resolved=False)], {"receiver-hidden", "receiver-not-told-of-the-end"}),
        ([replace(WEBHOOK, url="", token=False), replace(WEBHOOK, url="")], {"receiver-hidden"}),  # it may be the other
        ([replace(WEBHOOK, url="http://elsewhere/alerts")], {"receiver-elsewhere"}),
        ([replace(WEBHOOK, routed=False)], {"receiver-unrouted"}),
        ([replace(WEBHOOK, token=False)], {"receiver-without-token"}),
        ([replace(WEBHOOK, resolved=False)], {"receiver-not-told-of-the-end"}),
        ([replace(WEBHOOK, url="http://chat/hook"), WEBHOOK], set()),
        ([replace(WEBHOOK, receiver="old", routed=False), WEBHOOK], set()),
        ([WEBHOOK], set()),
    ],
)
def test_receivers(found: list[receivers.Webhook], expected: set[str]) -> None:
    assert kinds(receivers.judge("prod", INTAKE, found)) == expected


def test_webhooks_as_alertmanager_shows_them() -> None:
    shown = yaml.safe_load("""
        global: {http_config: {follow_redirects: true}}
        route: {receiver: default, routes: [{routes: [{receiver: runbooks}]}]}
        receivers:
          - name: default
          - name: runbooks
            webhook_configs:
              - {url: 'http://intake:9087/alerts', http_config: {authorization: {credentials: <secret>}}}
          - name: chat
            webhook_configs: [{url: <secret>, send_resolved: false}]
    """)
    assert receivers.configuration_of(shown).webhooks == (
        WEBHOOK,
        receivers.Webhook("chat", "<secret>", token=False, resolved=False, routed=False),
    )


ALERT = {"alertname": "HighTaskQueueDepth", "severity": "warning", "site": "prod"}
PAGER = {"receiver": "pager", "matchers": ['severity="warning"']}


@pytest.mark.parametrize(
    ("route", "webhook", "expected"),
    [
        ({"receiver": "pager"}, WEBHOOK, {"alert-routed-elsewhere"}),
        ({"receiver": "runbooks", "routes": [PAGER]}, WEBHOOK, {"alert-routed-elsewhere"}),
        ({"receiver": "runbooks", "routes": [PAGER]}, replace(WEBHOOK, url=""), {"alert-routed-elsewhere"}),
        ({"receiver": "runbooks", "routes": [PAGER]}, replace(WEBHOOK, routed=False), set()),  # which is told elsewhere
        ({"receiver": "runbooks", "routes": [{**PAGER, "continue": True}]}, WEBHOOK, {"alert-routed-elsewhere"}),
        (
            {"receiver": "chat", "routes": [{**PAGER, "continue": True}, {"receiver": "runbooks"}]},
            WEBHOOK,
            set(),
        ),
        ({"receiver": "runbooks"}, WEBHOOK, set()),
    ],
)
def test_routes(route: dict[str, Any], webhook: receivers.Webhook, expected: set[str]) -> None:
    found = receivers.Configuration((webhook,), route)
    assert kinds(receivers.judge_routes("prod", INTAKE, found, [ALERT])) == expected


@pytest.mark.parametrize("matcher", ["nonsense", 'a=~"("'])
def test_a_matcher_that_cannot_be_read_is_not_passed_over(matcher: str) -> None:
    route = {"receiver": "runbooks", "routes": [{"matchers": [matcher], "receiver": "pager"}]}
    with pytest.raises(ValueError, match="cannot be read"):
        list(receivers.judge_routes("prod", INTAKE, receivers.Configuration((WEBHOOK,), route), [ALERT]))
