"""What the doctor sees of a real Prometheus and Alertmanager, and of pods that are scraped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from deployments.doctor import clocks, labels, metrics, readings, receivers, rules
from deployments.doctor import monitoring as servers
from deployments.doctor.finding import Health
from flows.catalogue import RUNBOOKS
from flows.message_bus.high_task_queue_depth import RUNBOOK
from flows.message_bus.numbers import HighTaskQueueDepth
from flows.message_bus.platform import MessageBus, Series
from tasks.model.incident import Raiser
from tasks.sites import Site
from tasks.systems.alertmanager import Alertmanager
from tasks.systems.metrics import Wanted, wanted
from tests.contract.monitoring.running import OURS, Monitoring
from tests.unit.message_bus import bus
from tests.unit.test_doctor_installation import kinds
from tests.waiting import wait_for, wait_until

pytestmark = pytest.mark.live


def export(monitoring: Monitoring) -> None:
    """All that the runbooks want, on every pod of ours, and Prometheus has it."""
    pods, names = monitoring.pods, Series.model_validate({})
    for gauge in (names.pending, names.running, names.workers_active, names.workers_max):
        pods.set(gauge, 5)
    pods.do("drive", name=names.completed.removesuffix("_total"), per_second=3, kind="counter")
    pods.do("observe", name=names.task_duration, values=[0.2], steadily=True)
    for name in (names.pending, names.completed, f"{names.task_duration}_bucket"):
        monitoring.await_query(f'count(count by (pod) ({name}{{namespace="{OURS}"}}))', len(pods.ours))


def the_wanted(**settings: Any) -> list[Wanted]:
    site = bus(**settings)
    return list(dict.fromkeys(one for question in RUNBOOK.asks(site) for one in wanted(question)))


def seen(monitoring: Monitoring, site: MessageBus) -> dict[str, str]:
    """The findings on the series that runbooks want, by kind with what was looked at; what is fine left out."""
    pods = monitoring.endpoints()
    prometheus = site.prometheus()
    assert prometheus is not None
    found = metrics.read(prometheus, site.prometheus_scope(), the_wanted(series=site.series), pods)
    return {one.kind: one.looked_at for one in metrics.judge("here", site, found) if one.severity is not Health.FINE}


# ---- metrics -------------------------------------------------------------------------------------------------------


def test_all_series_are_there(monitoring: Monitoring) -> None:
    export(monitoring)
    wait_until(lambda: seen(monitoring, monitoring.site()), {})
    found = metrics.judge_pods("here", the_wanted(), monitoring.endpoints().types())
    assert kinds(found) == set()


def test_a_series_that_nobody_exports(monitoring: Monitoring) -> None:
    export(monitoring)
    site = monitoring.site(series=Series.model_validate({"pending": "queue_length"}))
    wait_until(lambda: seen(monitoring, site), {"series-missing": "series queue_length"})
    found = metrics.judge_pods("here", the_wanted(series=site.series), monitoring.endpoints().types())
    assert kinds(found) == {"series-missing"}


def test_a_series_that_one_pod_keeps_back(monitoring: Monitoring) -> None:
    export(monitoring)
    monitoring.pods.do("drop", [0], name=Series.model_validate({}).workers_max)
    (found,) = [
        one
        for one in metrics.judge_pods("here", the_wanted(), monitoring.endpoints().types())
        if one.severity is not Health.FINE
    ]
    assert (found.kind, found.seen) == ("series-missing", "1 of 3 pods do not export it")


def test_a_series_that_only_the_pods_have(monitoring: Monitoring) -> None:
    """Prometheus scrapes none of them: what they export it does not have."""
    export(monitoring)
    monitoring.scrape([])
    monitoring.await_query(f'count(up{{namespace="{OURS}"}})')
    wait_until(lambda: set(seen(monitoring, monitoring.site())), {"series-not-scraped"})


def test_labels_that_match_no_series(monitoring: Monitoring) -> None:
    export(monitoring)
    wait_until(
        lambda: set(seen(monitoring, monitoring.site(prometheus_labels={"namespace": "typo"}))),
        {"labels-match-no-series"},
    )


def test_a_rate_of_a_gauge(monitoring: Monitoring) -> None:
    export(monitoring)
    names = Series.model_validate({"completed": "orchestration_task_queue_running"})
    site = monitoring.site(series=names)
    wait_until(lambda: set(seen(monitoring, site)), {"series-of-another-type"})
    found = metrics.judge_pods("here", the_wanted(series=names), monitoring.endpoints().types())
    assert kinds(found) == {"series-of-another-type"}


# ---- readings and criteria -----------------------------------------------------------------------------------------


def test_readings_and_criteria(monitoring: Monitoring) -> None:
    site = monitoring.site()
    probes = {probe.name: probe for probe in RUNBOOK.probes(site)}
    criteria = {criterion.id: criterion for criterion in RUNBOOK.criteria(site, Raiser.ALERTMANAGER)}

    def both() -> tuple[set[str], set[str]]:
        reading = readings.judge("here", "worker pool", readings.take(probes["worker pool"]))
        sample = readings.measure(criteria["queue_below_warning"])
        return kinds(reading), kinds(readings.judge_criterion("here", "queue", sample))

    wait_until(both, ({"reading-fails"}, {"criterion-unknown"}), "without series")
    export(monitoring)
    wait_until(both, (set(), set()), "with all series")
    monitoring.pods.set("orchestration_worker_pool_max", float("nan"))
    wait_until(both, ({"reading-unusable"}, set()), "what is no number")


# ---- rules ---------------------------------------------------------------------------------------------------------


def judged(monitoring: Monitoring, alert: str, **settings: Any) -> set[str]:
    """What is found of a rule of the tests' Prometheus, as if it were the runbook's."""
    prometheus = monitoring.prometheus()
    site = Site("here", monitoring.site(**settings))
    runbook = replace(RUNBOOK, alert=alert)
    return kinds(rules.judge(site, [site], runbook, rules.read(prometheus, [alert])))


AT_ONCE = {"high_task_queue_depth": HighTaskQueueDepth.model_validate({"hold_minutes": 0})}


def test_a_rule_as_it_should_be(monitoring: Monitoring) -> None:
    export(monitoring)
    wait_until(lambda: judged(monitoring, "HighTaskQueueDepth", **AT_ONCE), set())


def test_a_rule_without_series(monitoring: Monitoring) -> None:
    wait_for("no series", lambda: judged(monitoring, "HighTaskQueueDepth", **AT_ONCE) == {"rule-without-series"})


def test_a_rule_that_is_not_there(monitoring: Monitoring) -> None:
    wait_until(lambda: judged(monitoring, "NoSuchRule", **AT_ONCE), {"rule-missing"})


def test_a_rule_with_another_threshold_and_hold(monitoring: Monitoring) -> None:
    export(monitoring)
    numbers = {"high_task_queue_depth": HighTaskQueueDepth.model_validate({"queue_limit": 700, "hold_minutes": 2})}
    wait_until(
        lambda: judged(monitoring, "HighTaskQueueDepth", **numbers), {"rule-threshold-differs", "rule-hold-differs"}
    )


def test_a_rule_whose_series_bear_no_label_of_the_site(monitoring: Monitoring) -> None:
    export(monitoring)
    wait_until(lambda: judged(monitoring, "AggregatedAway", **AT_ONCE), {"rule-leads-nowhere"})
    wait_until(
        lambda: judged(monitoring, "HighTaskQueueDepth", alert_labels={"namespace": "typo"}, **AT_ONCE),
        {"rule-leads-nowhere"},
    )


def test_a_rule_that_cannot_be_evaluated(monitoring: Monitoring) -> None:
    export(monitoring)
    wait_for("broken", lambda: "rule-unhealthy" in judged(monitoring, "Broken", **AT_ONCE))


# ---- servers, alerts, receivers, clock -----------------------------------------------------------------------------


def test_the_servers(monitoring: Monitoring) -> None:
    site = monitoring.site()
    prometheus, alertmanager = site.prometheus(), site.alertmanager()
    assert prometheus is not None
    assert alertmanager is not None
    wait_for("Prometheus to have found Alertmanager", lambda: servers.read_prometheus(prometheus).tells)
    assert kinds(servers.judge_prometheus("here", site, servers.read_prometheus(prometheus))) == set()
    assert kinds(servers.judge_alertmanager("here", site, servers.read_alertmanager(alertmanager))) == set()


def test_servers_that_are_not_there(monitoring: Monitoring) -> None:
    site = monitoring.site(prometheus_url="http://127.0.0.1:1", alertmanager_url="http://127.0.0.1:1")
    prometheus, alertmanager = site.prometheus(), site.alertmanager()
    assert prometheus is not None
    assert alertmanager is not None
    found = servers.read_prometheus(prometheus), servers.read_alertmanager(alertmanager)
    assert kinds(servers.judge_prometheus("here", site, found[0])) == {"prometheus-unreachable"}
    assert kinds(servers.judge_alertmanager("here", site, found[1])) == {"alertmanager-unreachable"}


@contextmanager
def only_queries() -> Iterator[str]:
    """Something that answers queries as Prometheus does, and shows nothing of itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.startswith("/api/v1/query")
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(b'{"data": {"resultType": "scalar", "result": [0, "0"]}}' if known else b"no")

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_prometheus_that_shows_nothing_of_itself_is_fine(monitoring: Monitoring) -> None:
    with only_queries() as url:
        site = monitoring.site(prometheus_url=url)
        prometheus = site.prometheus()
        assert prometheus is not None
        found = servers.read_prometheus(prometheus)
        assert found == servers.Answer("unknown", None)
        assert kinds(servers.judge_prometheus("here", site, found)) == set()
        assert rules.external_labels(prometheus) is None


def test_a_prometheus_whose_clock_is_wrong(monitoring: Monitoring) -> None:
    """It says that it is 1970."""
    with only_queries() as url:
        prometheus = monitoring.site(prometheus_url=url).prometheus()
        assert prometheus is not None
        assert kinds(clocks.judge("Prometheus", clocks.of_prometheus(prometheus))) == {"clocks-apart"}


def test_the_clock_of_prometheus(monitoring: Monitoring) -> None:
    assert kinds(clocks.judge("Prometheus", clocks.of_prometheus(monitoring.prometheus()))) == set()


def test_an_alert_that_is_no_sites(monitoring: Monitoring) -> None:
    sites = [Site("here", monitoring.site())]

    def judge(firing: list[labels.Firing]) -> set[str]:
        return kinds(labels.judge_firing("there", firing, RUNBOOKS.values(), sites))

    alertmanager = Alertmanager(monitoring.alertmanager_url)
    alert = {"labels": {"alertname": "HighTaskQueueDepth", "namespace": "nobodys", "test": "doctor"}}
    url = f"{monitoring.alertmanager_url}/api/v2/alerts"
    httpx.post(url, json=[alert]).raise_for_status()
    wait_for("the alert", lambda: judge(labels.read_alertmanager(alertmanager)) == {"alert-of-no-site"})
    httpx.post(url, json=[{**alert, "endsAt": datetime.now(UTC).isoformat()}]).raise_for_status()
    wait_for("its end", lambda: judge(labels.read_alertmanager(alertmanager)) == set())

    monitoring.pods.set("orchestration_task_queue_pending", 900, [monitoring.pods.other])
    prometheus = monitoring.prometheus()
    wait_for("the rule to fire", lambda: judge(labels.read_prometheus(prometheus)) == {"alert-of-no-site"})
    monitoring.pods.set("orchestration_task_queue_pending", 9, [monitoring.pods.other])
    wait_for("its end", lambda: judge(labels.read_prometheus(prometheus)) == set())


def test_an_alertmanager_that_tells_nobody(monitoring: Monitoring) -> None:
    found = receivers.read(Alertmanager(monitoring.alertmanager_url))
    assert kinds(receivers.judge("here", "http://127.0.0.1:9087", found.webhooks)) == {"no-receiver"}
