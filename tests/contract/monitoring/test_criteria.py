"""The criteria of the message bus against a real Prometheus and Alertmanager: each one shown true, false, missing, not
a number, stale, and true only before the change."""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from flows.message_bus.critical_task_queue_depth import RUNBOOK as CRITICAL
from flows.message_bus.high_task_queue_depth import RUNBOOK as HIGH
from flows.message_bus.high_task_queue_depth import trigger
from flows.message_bus.platform import MessageBus, Series
from flows.message_bus.worker_pool_exhaustion import RUNBOOK as EXHAUSTION
from lab.plain_http import TRUSTS_NOBODY
from tasks.alerts import alert_resolved
from tasks.model.criterion import Criterion, Holds, Sample
from tasks.model.incident import Raiser
from tasks.runbook import AnyRunbook
from tasks.validate import look
from tests.contract.monitoring.running import STALE, WINDOW, Monitoring
from tests.waiting import wait_for, wait_until

pytestmark = pytest.mark.live

PENDING = "orchestration_task_queue_pending"
ACTIVE = "orchestration_worker_pool_active"
WORKERS = "orchestration_worker_pool_max"
COMPLETED = "orchestration_tasks_completed"  # a counter: its series ends in `_total`
LONG_AGO = -math.inf


@dataclass(frozen=True)
class Case:
    """A criterion, the series that it rests on, and values with which it holds and does not."""

    runbook: AnyRunbook
    criterion: str
    series: str
    good: float
    bad: float


QUEUE = Case(HIGH, "queue_below_warning", PENDING, good=799, bad=801)
BAND = Case(HIGH, "utilisation_band", ACTIVE, good=8, bad=9)  # of 10 workers in each pod
ALERT = Case(HIGH, "alert_resolved", PENDING, good=799, bad=801)
CASES = [
    QUEUE,
    BAND,
    ALERT,
    Case(CRITICAL, "queue_recovering", PENDING, good=799, bad=951),
    Case(CRITICAL, "alert_resolved", PENDING, good=799, bad=951),
    Case(EXHAUSTION, "utilisation", ACTIVE, good=8, bad=9),
    Case(EXHAUSTION, "alert_resolved", ACTIVE, good=8, bad=10),
]


def criterion(site: MessageBus, case: Case) -> Criterion:
    return of(case.runbook, case.criterion, site)


def of(runbook: AnyRunbook, id: str, site: MessageBus) -> Criterion:
    return next(found for found in runbook.criteria(site, Raiser.ALERTMANAGER) if found.id == id)


def becomes(found: Criterion, holds: Holds, why: str = "", changed_at: float = LONG_AGO) -> Sample:
    """Until a look at the criterion says so, for this reason."""
    last: list[Sample] = []

    def said() -> bool:
        last.append(look(found, changed_at))
        return last[-1].holds is holds and why in last[-1].why

    try:
        wait_for(f"{found.id} is {holds}", said)
    except AssertionError as error:
        raise AssertionError(f"{error}; it says {last[-1]}") from None
    return last[-1]


@pytest.fixture
def site(monitoring: Monitoring) -> MessageBus:
    """The site, with pods that are all well."""
    monitoring.pods.set(PENDING, QUEUE.good)
    monitoring.pods.set(ACTIVE, BAND.good)
    monitoring.pods.set(WORKERS, 10)
    return monitoring.site()


@pytest.fixture
def stamping_site(monitoring: Monitoring) -> MessageBus:
    """The site with pods that say when their samples were taken, in series that no other test uses."""
    own = uuid.uuid4().hex[:8]
    series = Series(pending=f"pending_{own}", workers_active=f"active_{own}", workers_max=f"workers_{own}")
    monitoring.pods.do("stamp")
    monitoring.pods.set(series.pending, QUEUE.good)
    monitoring.pods.set(series.workers_active, BAND.good)
    monitoring.pods.set(series.workers_max, 10)
    return monitoring.site(series=series)


@pytest.fixture(params=CASES, ids=lambda case: f"{case.runbook.id}-{case.criterion}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_true_and_false(case: Case, site: MessageBus, monitoring: Monitoring) -> None:
    found = criterion(site, case)
    becomes(found, Holds.YES)
    monitoring.pods.set(case.series, case.bad)
    becomes(found, Holds.NO)
    monitoring.pods.set(case.series, case.good)
    becomes(found, Holds.YES)


def test_missing(case: Case, site: MessageBus, monitoring: Monitoring) -> None:
    found = criterion(site, case)
    becomes(found, Holds.YES)
    monitoring.pods.do("drop", name=case.series)
    becomes(found, Holds.UNKNOWN, "nobody exports")


def test_missing_while_it_was_bad(case: Case, site: MessageBus, monitoring: Monitoring) -> None:
    """A crashed service exports nothing: silence must not pass for recovery (D022)."""
    found = criterion(site, case)
    monitoring.pods.set(case.series, case.bad)
    becomes(found, Holds.NO)
    monitoring.pods.do("stop")
    becomes(found, Holds.UNKNOWN)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert look(found, LONG_AGO).holds is not Holds.YES


@pytest.mark.parametrize("pods", [(0, 1, 2), (1,)], ids=["every pod", "one pod"])
def test_not_a_number(case: Case, site: MessageBus, monitoring: Monitoring, pods: tuple[int, ...]) -> None:
    found = criterion(site, case)
    monitoring.pods.set(case.series, math.nan, pods)
    becomes(found, Holds.UNKNOWN, "not a finite number")


def test_stale(case: Case, stamping_site: MessageBus, monitoring: Monitoring) -> None:
    found = criterion(stamping_site, case)
    becomes(found, Holds.YES)
    monitoring.pods.do("freeze")
    sample = becomes(found, Holds.UNKNOWN, "s old")
    assert sample.value is not None, "Prometheus still gives the old value out"
    monitoring.pods.do("thaw")
    becomes(found, Holds.YES)


def test_true_only_before_the_change(case: Case, stamping_site: MessageBus, monitoring: Monitoring) -> None:
    found = criterion(stamping_site, case)
    becomes(found, Holds.YES)
    monitoring.pods.do("freeze")
    changed_at, reasons = time.monotonic(), []
    deadline = time.monotonic() + STALE.total_seconds() / 2
    while time.monotonic() < deadline:
        sample = look(found, changed_at)
        assert sample.holds is Holds.UNKNOWN, "a sample from before the change counted"
        reasons.append(sample.why)
    assert any("before the last change" in why for why in reasons)
    monitoring.pods.do("thaw")
    becomes(found, Holds.YES, changed_at=changed_at)


def test_fresh_after_the_next_scrape(case: Case, site: MessageBus) -> None:
    found = criterion(site, case)
    becomes(found, Holds.YES)
    changed_at = time.monotonic()
    assert look(found, changed_at).holds is Holds.UNKNOWN
    becomes(found, Holds.YES, changed_at=changed_at)


def test_monitoring_that_does_not_answer(case: Case, monitoring: Monitoring) -> None:
    away = monitoring.site(prometheus_url="http://127.0.0.1:9")
    sample = look(criterion(away, case), LONG_AGO)
    assert sample.holds is Holds.UNKNOWN
    assert "cannot be reached" in sample.why


def test_no_workers_at_all_is_no_good_utilisation(site: MessageBus, monitoring: Monitoring) -> None:
    monitoring.pods.set(ACTIVE, 0)
    monitoring.pods.set(WORKERS, 0)
    becomes(criterion(site, BAND), Holds.UNKNOWN)


def test_an_idle_pool_is_fine_and_said(site: MessageBus, monitoring: Monitoring) -> None:
    monitoring.pods.set(ACTIVE, 1)

    def said() -> tuple[float | None, Holds, str]:
        sample = look(criterion(site, BAND), LONG_AGO)
        return sample.value, sample.holds, sample.note

    wait_until(said, (0.1, Holds.YES, "outside >= 60%, for information"), "an idle pool")


# ---- what is told by a rate ----------------------------------------------------------------------------------------

DRAINING = [(CRITICAL, "queue_draining", 900), (EXHAUSTION, "draining", 700)]


@pytest.mark.parametrize(("runbook", "id", "many"), DRAINING, ids=lambda value: getattr(value, "id", None))
def test_a_long_queue_must_drain_and_a_short_one_need_not(
    site: MessageBus, monitoring: Monitoring, runbook: AnyRunbook, id: str, many: float
) -> None:
    found = of(runbook, id, site)
    monitoring.pods.set(PENDING, many)
    becomes(found, Holds.NO)
    monitoring.pods.set(PENDING, 0)
    becomes(found, Holds.YES)
    monitoring.pods.set(PENDING, 10 * many)
    becomes(found, Holds.NO)
    monitoring.pods.do("drive", name=PENDING, per_second=-20, kind="gauge")
    becomes(found, Holds.YES)
    changed_at = time.monotonic()
    becomes(found, Holds.UNKNOWN, "before the last change", changed_at)  # a slope looks back
    becomes(found, Holds.YES, changed_at=changed_at)
    assert time.monotonic() - changed_at > WINDOW.total_seconds()
    monitoring.pods.do("drop", name=PENDING)
    becomes(found, Holds.UNKNOWN, "nobody exports")


def test_throughput_is_the_rate_and_not_the_counter(site: MessageBus, monitoring: Monitoring) -> None:
    found = of(EXHAUSTION, "throughput", site)
    becomes(found, Holds.UNKNOWN, "nobody exports")
    monitoring.pods.do("drive", name=COMPLETED, per_second=5, kind="counter")
    becomes(found, Holds.YES)
    changed_at = time.monotonic()
    becomes(found, Holds.UNKNOWN, "before the last change", changed_at)  # a rate looks back
    becomes(found, Holds.YES, changed_at=changed_at)
    assert time.monotonic() - changed_at > WINDOW.total_seconds()
    monitoring.pods.do("drive", name=COMPLETED, per_second=0, kind="counter")
    becomes(found, Holds.NO)
    monitoring.pods.do("stop")
    becomes(found, Holds.UNKNOWN)


# ---- the alert -----------------------------------------------------------------------------------------------------


def alert(site: MessageBus, name: str, raiser: Raiser = Raiser.ALERTMANAGER) -> Criterion:
    return alert_resolved("resolved", site, name, trigger(site), raiser)


def test_an_alert_without_a_rule_is_unknown(site: MessageBus, monitoring: Monitoring) -> None:
    becomes(alert(site, "NoSuchAlert"), Holds.UNKNOWN, "no alerting rule NoSuchAlert")


def test_a_rule_that_cannot_be_evaluated_is_unknown(site: MessageBus, monitoring: Monitoring) -> None:
    becomes(alert(site, "Broken"), Holds.UNKNOWN, "cannot evaluate Broken")


def test_a_pending_alert_is_not_resolved(site: MessageBus, monitoring: Monitoring) -> None:
    monitoring.pods.set(PENDING, ALERT.bad)
    becomes(alert(site, "HeldBack"), Holds.NO)


def test_an_alert_of_another_site_is_not_ours(site: MessageBus, monitoring: Monitoring) -> None:
    monitoring.pods.set(PENDING, ALERT.bad, [monitoring.pods.other])
    there = monitoring.site(prometheus_labels={"namespace": "elsewhere"}, alert_labels={"namespace": "elsewhere"})
    becomes(alert(there, "HighTaskQueueDepth"), Holds.NO)
    becomes(alert(site, "HighTaskQueueDepth"), Holds.YES)


def test_an_alert_that_alertmanager_still_has_is_not_resolved(site: MessageBus, monitoring: Monitoring) -> None:
    """Raised by hand, silenced: the rule in Prometheus knows nothing of it."""
    monitoring.pods.set(PENDING, ALERT.good)
    found = alert(site, "HeldBack")
    becomes(found, Holds.YES)
    labels = {"alertname": "HeldBack", "namespace": "bus"}
    _post(monitoring, "alerts", [{"labels": labels, "endsAt": _soon(60)}])
    becomes(found, Holds.NO)
    matchers = [{"name": "alertname", "value": "HeldBack", "isRegex": False}]
    silence = {"matchers": matchers, "startsAt": _soon(0), "endsAt": _soon(60), "createdBy": "a person", "comment": "-"}
    _post(monitoring, "silences", silence)
    wait_for("silenced", lambda: _suppressed(monitoring, "HeldBack"))
    assert look(found, LONG_AGO).holds is Holds.NO, "silenced is not resolved"
    _post(monitoring, "alerts", [{"labels": labels, "endsAt": _soon(0)}])
    becomes(found, Holds.YES)


def test_an_alertmanager_that_does_not_answer_is_unknown(site: MessageBus, monitoring: Monitoring) -> None:
    away = monitoring.site(alertmanager_url="http://127.0.0.1:9")
    becomes(alert(away, "HighTaskQueueDepth"), Holds.UNKNOWN, "cannot be reached")


def test_an_alertmanager_alone_does_not_prove_recovery(
    site: MessageBus, monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It drops alerts that it hears no more of. Without Prometheus the condition itself is asked, of the pods."""

    monkeypatch.setattr(MessageBus, "metrics", lambda site: monitoring.endpoints())
    alone = monitoring.site(prometheus_url="")
    found = alert(alone, "HighTaskQueueDepth")
    becomes(found, Holds.YES)
    monitoring.pods.set(PENDING, ALERT.bad)
    becomes(found, Holds.NO)
    monitoring.pods.do("drop", name=PENDING)
    becomes(found, Holds.UNKNOWN, "does not export")


def test_what_a_health_check_raised_is_judged_by_its_condition(site: MessageBus, monitoring: Monitoring) -> None:
    found = alert(site, "NoSuchAlert", Raiser.HEALTH_CHECK)
    becomes(found, Holds.YES)
    monitoring.pods.set(PENDING, ALERT.bad)
    becomes(found, Holds.NO)


def _soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _post(monitoring: Monitoring, what: str, body: object) -> None:
    httpx.post(
        f"{monitoring.alertmanager_url}/api/v2/{what}", json=body, trust_env=False, verify=TRUSTS_NOBODY
    ).raise_for_status()


def _suppressed(monitoring: Monitoring, name: str) -> bool:
    found = httpx.get(f"{monitoring.alertmanager_url}/api/v2/alerts", trust_env=False, verify=TRUSTS_NOBODY).json()
    states: dict[str, str] = {each["labels"]["alertname"]: each["status"]["state"] for each in found}
    return states.get(name) == "suppressed"
