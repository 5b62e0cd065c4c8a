"""What the doctor makes of what it sees of a site: each kind of finding appears, and is absent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.doctor import cluster, contacts, labels, metrics, monitoring, permissions, readings, trust
from flows.catalogue import RUNBOOKS
from flows.message_bus.escalation import LADDER
from flows.message_bus.numbers import HighTaskQueueDepth, WorkerPoolExhaustion
from tasks.contacts import Channel
from tasks.limits import Freeze, Limits
from tasks.model.criterion import Holds, Sample
from tasks.model.evidence import Reading, UnknownReading
from tasks.model.outcome import Trust
from tasks.sites import Site
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.metrics import MissingMetric, Wanted
from tests.unit.message_bus import bus
from tests.unit.standin import standin
from tests.unit.test_doctor_installation import kinds

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MONITORED = {"prometheus_url": "http://prometheus:9090", "alertmanager_url": "http://alertmanager:9093"}


def site(name: str = "prod", **settings: Any) -> Site:
    return Site(name, bus(**settings))


# ---- alert labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({**MONITORED}, {"no-alert-labels"}),
        ({}, {"watched-by-the-health-check-only"}),
        ({**MONITORED, "alert_labels": {"site": "prod"}}, set()),
    ],
)
def test_the_labels_of_a_site(settings: dict[str, Any], expected: set[str]) -> None:
    assert kinds(labels.judge(site(**settings))) == expected


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ({"site": "a"}, {"site": "a"}, {"sites-with-the-same-labels"}),
        ({"site": "a"}, {"site": "a", "zone": "1"}, {"sites-with-the-same-labels"}),
        ({"site": "a"}, {"zone": "1"}, {"sites-with-labels-that-may-meet"}),
        ({"site": "a", "zone": "1"}, {"site": "b", "zone": "1"}, set()),
        ({"site": "a"}, {"site": "b"}, set()),
        ({}, {"site": "b"}, set()),  # it answers to nothing, which is told elsewhere
    ],
)
def test_two_sites(here: dict[str, str], there: dict[str, str], expected: set[str]) -> None:
    both = [site("one", alert_labels=here), site("other", alert_labels=there)]
    assert kinds(labels.judge_all(both)) == expected
    assert kinds(labels.judge_all(both[::-1])) == expected


def test_sites_of_two_platforms_may_have_the_same_labels() -> None:
    both = [site(alert_labels={"site": "prod"}), Site("stand-in", standin(alert_labels={"site": "prod"}))]
    assert kinds(labels.judge_all(both)) == set()


@pytest.mark.parametrize(
    ("alert", "bears", "expected"),
    [
        ("HighTaskQueueDepth", {"site": "elsewhere"}, {"alert-of-no-site"}),
        ("HighTaskQueueDepth", {}, {"alert-of-no-site"}),
        ("HighTaskQueueDepth", {"site": "prod", "pod": "a"}, set()),
        ("NotOurs", {"site": "elsewhere"}, set()),
    ],
)
def test_alerts_that_are_on(alert: str, bears: dict[str, str], expected: set[str]) -> None:
    firing = [labels.Firing(alert, {"alertname": alert, **bears})]
    sites = [site(alert_labels={"site": "prod"})]
    assert kinds(labels.judge_firing("Alertmanager", firing, RUNBOOKS.values(), sites)) == expected


def test_an_alert_with_the_labels_of_another_platforms_site() -> None:
    firing = [labels.Firing("HighTaskQueueDepth", {"site": "prod"})]
    others = [Site("stand-in", standin(alert_labels={"site": "prod"}))]
    assert kinds(labels.judge_firing("there", firing, RUNBOOKS.values(), others)) == {"alert-of-no-site"}


# ---- Kubernetes ----------------------------------------------------------------------------------------------------

SERVED = frozenset({"v1", "apps/v1", "autoscaling/v1", "policy/v1", "metrics.k8s.io/v1beta1"})


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (cluster.Server(trouble="connection refused"), {"kubernetes-unreachable"}),
        (cluster.Server("v1.20.2", SERVED - {"policy/v1"}), {"api-not-served"}),
        (cluster.Server("v1.32.0", SERVED), set()),
    ],
)
def test_the_cluster(server: cluster.Server, expected: set[str]) -> None:
    assert kinds(cluster.judge("prod", bus(), server)) == expected


CLUSTER = Cluster("bus", "prod east", "/etc/kube config")
READ, WRITE = Permission("apps/v1", "deployments", "get"), Permission("apps/v1", "deployments/scale", "patch")


@pytest.mark.parametrize(
    ("granted", "acts", "expected"),
    [
        ({READ: False, WRITE: True}, True, {"may-not-read"}),
        ({READ: True, WRITE: False}, True, {"may-not-write"}),
        ({READ: True, WRITE: False}, False, {"may-not-write-yet"}),
        ({READ: False, WRITE: False}, True, {"may-not-read", "may-not-write"}),
        ({READ: True, WRITE: True}, True, set()),
    ],
)
def test_permissions(granted: dict[Permission, bool], acts: bool, expected: set[str]) -> None:
    assert kinds(permissions.judge("prod", CLUSTER, granted, acts=acts)) == expected


def test_what_is_missing_is_named_with_the_rules_that_grant_it() -> None:
    (found,) = permissions.judge("prod", CLUSTER, {READ: True, WRITE: False}, acts=True)
    assert found.seen == "1 of 2 are missing: patch deployments/scale.apps"
    assert "{apiGroups: [apps], resources: [deployments/scale], verbs: [patch]}" in found.mend
    kubectl = "kubectl --kubeconfig '/etc/kube config' --context 'prod east'"
    assert f"runbooks role prod --user USER | {kubectl} apply -f -" in found.mend, "never whatever context is current"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"trust": "plan"}, False),
        ({"trust": "approve"}, True),
        ({"trust": "observe", "trust_by_runbook": {"high_task_queue_depth": "act"}}, True),
        ({"trust": "act", "trust_by_runbook": dict.fromkeys(RUNBOOKS, "plan")}, False),
    ],
)
def test_whether_a_site_lets_anything_be_changed(settings: dict[str, Any], expected: bool) -> None:
    assert permissions.acts(bus(**settings), RUNBOOKS) is expected


# ---- Prometheus and Alertmanager -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (monitoring.Answer(trouble="timeout"), {"prometheus-unreachable"}),
        (monitoring.Answer("2.42.0", tells=()), {"prometheus-tells-nobody"}),
        (monitoring.Answer("2.42.0", tells=None), set()),  # it does not show them
        (monitoring.Answer("2.42.0", tells=("http://alertmanager:9093/api/v2/alerts",)), set()),
    ],
)
def test_prometheus(answer: monitoring.Answer, expected: set[str]) -> None:
    assert kinds(monitoring.judge_prometheus("prod", bus(**MONITORED), answer)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (monitoring.Answer(trouble="timeout"), {"alertmanager-unreachable"}),
        (monitoring.Answer("0.25.0"), set()),
    ],
)
def test_alertmanager(answer: monitoring.Answer, expected: set[str]) -> None:
    assert kinds(monitoring.judge_alertmanager("prod", bus(**MONITORED), answer)) == expected


# ---- metrics -------------------------------------------------------------------------------------------------------

COUNTER = metrics.Series(Wanted("done_total", "counter"), here=2, anywhere=2, types=frozenset({"counter"}))


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (replace(COUNTER, here=0, anywhere=0), {"series-missing"}),
        (replace(COUNTER, here=0, anywhere=0, exported=False), {"series-missing"}),
        (replace(COUNTER, here=0, anywhere=0, exported=True), {"series-not-scraped"}),
        (replace(COUNTER, here=0, elsewhere={"namespace": "other"}), {"labels-match-no-series"}),
        (replace(COUNTER, types=frozenset({"gauge"})), {"series-of-another-type"}),
        (replace(COUNTER, types=frozenset({"gauge", "counter"})), set()),  # another job's may be one
        (replace(COUNTER, types=frozenset({"unknown"})), set()),
        (replace(COUNTER, types=frozenset()), set()),
        (COUNTER, set()),
    ],
)
def test_a_series_in_prometheus(series: metrics.Series, expected: set[str]) -> None:
    assert kinds(metrics.judge("prod", bus(prometheus_labels={"namespace": "bus"}), [series])) == expected


@pytest.mark.parametrize(
    ("exported", "expected"),
    [
        ({"pod-1": {"done_total": "counter"}, "pod-2": {}}, {"series-missing"}),
        ({"pod-1": {"done_total": "gauge"}}, {"series-of-another-type"}),
        ({"pod-1": {"done_total": "counter"}, "pod-2": {"done_total": "counter"}}, set()),
    ],
)
def test_a_series_of_the_pods(exported: dict[str, dict[str, str]], expected: set[str]) -> None:
    assert kinds(metrics.judge_pods("prod", [COUNTER.wanted], exported)) == expected


# ---- readings and criteria -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (MissingMetric("nobody exports it"), {"reading-fails"}),
        (UnknownReading("the value is NaN"), {"reading-unusable"}),
        (Reading("12 waiting", "here"), set()),
    ],
)
def test_a_reading(found: Reading[object] | Exception, expected: set[str]) -> None:
    assert kinds(readings.judge("prod", "task queue", found)) == expected


@pytest.mark.parametrize(
    ("holds", "expected"), [(Holds.UNKNOWN, {"criterion-unknown"}), (Holds.NO, set()), (Holds.YES, set())]
)
def test_a_criterion(holds: Holds, expected: set[str]) -> None:
    assert kinds(readings.judge_criterion("prod", "queue", Sample("queue", holds, 0.0, "12 tasks"))) == expected


# ---- people --------------------------------------------------------------------------------------------------------


def channel(kind: Any = "webhook", level: int = 1, address: str = "http://chat/in/secret") -> Channel:
    return Channel(kind=kind, level=level, address=SecretStr(address))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((), {"nobody-to-call", "level-without-contact"}),
        ((2,), {"nobody-to-call"}),
        ((0, 2), {"level-without-contact"}),  # level 1 is told and not called
        ((1,), {"level-without-contact"}),  # level 2 is called after 30 minutes
        ((1, 2), set()),  # level 3 is called by a person only
    ],
)
def test_contacts(levels: tuple[int, ...], expected: set[str]) -> None:
    assert kinds(contacts.judge("prod", [channel(level=level) for level in levels], [LADDER])) == expected


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        (contacts.Reached(malformed="32 letters and digits"), {"address-malformed"}),
        (contacts.Reached("chat", trouble="connection refused"), {"notifier-unreachable"}),
        (contacts.Reached("chat", 404), set()),
    ],
)
def test_a_channel(reached: contacts.Reached, expected: set[str]) -> None:
    assert kinds(contacts.judge_channel("prod", channel(), reached)) == expected


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("pagerduty", "too-short"),
        ("pagerduty", "0123456789abcdef0123456789abcde-"),
        ("slack", "hooks.slack.com/services/T/B/x"),
        ("slack", "https://hooks.slack.com/services/T/B"),
        ("slack", "https://hooks.slack.com/T/B/xyz"),
        ("webhook", "chat.example"),
    ],
)
def test_a_malformed_address_is_told_without_the_address(kind: str, address: str) -> None:
    one = channel(kind, address=address)
    (found,) = contacts.judge_channel("prod", one, contacts.read(one))
    assert found.kind == "address-malformed"
    assert address not in f"{found.seen} {found.mend}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [(ConnectionError("refused"), {"test-notice-not-taken"}), ("notice runbooks/test/1", set())],
)
def test_a_test_notice(said: str | Exception, expected: set[str]) -> None:
    assert kinds(contacts.judge_test("prod", channel(), said)) == expected


# ---- trust and limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "expected"), [("by anna since 12:00 UTC: change night", {"automation-paused"}), ("", set())]
)
def test_the_kill_switch(why: str, expected: set[str]) -> None:
    assert kinds(trust.judge_pause("prod", why, Path("PAUSED"))) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"trust": Trust.PLAN}, {"trust-stops-short"}),
        ({"trust_by_runbook": {"worker_pool_exhaustion": Trust.OBSERVE}}, {"trust-stops-short"}),
        ({"trust_by_runbook": {"worker_pool_exhausted": Trust.ACT}}, {"trust-for-no-runbook"}),
        ({"replica_ceiling": 9}, {"ceiling-below-goal"}),  # the critical runbook wants 10
        ({"worker_ceiling": 14}, {"ceiling-below-goal"}),
        ({"replica_floor": 11}, {"settings-contradict"}),
        ({"high_task_queue_depth": HighTaskQueueDepth.model_validate({"queue_limit": 951})}, {"settings-contradict"}),
        ({"high_task_queue_depth": HighTaskQueueDepth.model_validate({"critical_limit": 99})}, {"settings-contradict"}),
        ({"high_task_queue_depth": HighTaskQueueDepth.model_validate({"restore_below": 801})}, {"settings-contradict"}),
        (
            {"worker_pool_exhaustion": WorkerPoolExhaustion.model_validate({"stuck_after_seconds": 120})},
            {"settings-contradict"},
        ),
        ({"limits": Limits.model_validate({"changes_per_hour": 0})}, {"no-changes-allowed"}),
        ({}, set()),
    ],
)
def test_what_a_site_allows(settings: dict[str, Any], expected: set[str]) -> None:
    assert kinds(trust.judge("prod", bus(**settings), RUNBOOKS, RUNBOOKS, NOW)) == expected


@pytest.mark.parametrize(("ends_in", "expected"), [(1, {"frozen"}), (-1, set())])
def test_a_freeze(ends_in: int, expected: set[str]) -> None:
    freeze = Freeze(begins=NOW - timedelta(days=2), ends=NOW + timedelta(days=ends_in), reason="holiday")
    limits = Limits.model_validate({"freezes": [freeze]})
    assert kinds(trust.judge("prod", bus(limits=limits), RUNBOOKS, RUNBOOKS, NOW)) == expected


@pytest.mark.parametrize(
    ("owner", "tolerated", "expected"),
    [
        ("Helm (bus)", [], {"target-owned"}),
        ("Helm (bus)", ["Argo CD"], {"target-owned"}),
        ("Helm (bus)", ["Helm"], set()),
        ("", [], set()),
    ],
)
def test_owners(owner: str, tolerated: list[str], expected: set[str]) -> None:
    allowing = bus(limits=Limits.model_validate({"tolerated_owners": tolerated}))
    assert kinds(trust.judge_owners("prod", allowing, {"deployment orchestration": owner})) == expected
