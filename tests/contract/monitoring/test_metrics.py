"""The same question, asked of Prometheus and of the pods themselves, has the same answer; what is not there is said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import httpx
import pytest

from tasks.model.evidence import Reading, UnknownReading
from tasks.systems.exposition import Endpoints
from tasks.systems.metrics import Gauge, Metrics, MissingMetric, Quantile, Question, Rate, Ratio, Slope, While
from tasks.systems.prometheus import Prometheus, QueryFailed, promql
from tests.contract.monitoring.running import OTHERS, OURS, SCRAPE, WINDOW, Monitoring
from tests.waiting import wait_for, wait_until

pytestmark = pytest.mark.live

DEPTH = Gauge("orchestration_task_queue_pending", "max")
ACTIVE = Gauge("orchestration_worker_pool_active", "sum")
WORKERS = Gauge("orchestration_worker_pool_max", "sum")
DONE = "orchestration_tasks_completed_total"
TOOK = "orchestration_task_duration_seconds"


@pytest.fixture(params=["prometheus", "endpoints"])
def metrics(request: pytest.FixtureRequest, monitoring: Monitoring) -> Metrics:
    """Whoever is asked."""
    found: Metrics = getattr(monitoring, request.param)()
    return found


def ask(metrics: Metrics, question: Question) -> float | str:
    """The answer, or the kind of refusal."""
    try:
        return metrics.ask(question).value
    except (MissingMetric, UnknownReading) as error:
        return type(error).__name__


def answer(metrics: Metrics, question: Question, expected: object) -> None:
    """Until the answer is the expected one: Prometheus needs a scrape or two."""
    wait_until(lambda: ask(metrics, question), expected, str(question))


def fresh(metrics: Metrics, question: Question) -> Reading[float]:
    """An answer with the latest scrape in it: a busy machine misses one now and then."""

    def young() -> Reading[float] | None:
        try:
            reading = metrics.ask(question)
        except MissingMetric:
            return None
        assert timedelta(0) <= reading.lag <= reading.reach
        return reading if reading.lag <= 2 * SCRAPE else None

    return wait_for(f"{question} is fresh", young)


# ---- gauges and ratios ---------------------------------------------------------------------------------------------


def test_gauges_over_pods_of_our_site_alone(metrics: Metrics, monitoring: Monitoring) -> None:
    pods = monitoring.pods
    for pod, value in zip((*pods.ours, pods.other), (4, 6, 5, 1000), strict=True):
        pods.set("workers", value, [pod])
    answer(metrics, Gauge("workers", "sum"), 15)
    answer(metrics, Gauge("workers", "max"), 6)
    answer(metrics, Gauge("workers", "min"), 4)


def test_a_gauge_by_its_labels(metrics: Metrics, monitoring: Monitoring) -> None:
    for queue, value in (("a", 1), ("b", 40)):
        monitoring.pods.set("size", value, queue=queue)
    answer(metrics, Gauge("size", "sum", (("queue", "a"),)), 3)
    answer(metrics, Gauge("size", "sum", (("queue", "b"),)), 120)
    answer(metrics, Gauge("size", "sum", (("queue", "c"),)), "MissingMetric")


def test_a_label_that_is_hard_to_quote(metrics: Metrics, monitoring: Monitoring) -> None:
    hard = 'a "quoted" back\\slash, {brace} and\nline'
    monitoring.pods.set("size", 7, queue=hard)
    answer(metrics, Gauge("size", "max", (("queue", hard),)), 7)


def test_a_ratio_over_all_pods(metrics: Metrics, monitoring: Monitoring) -> None:
    for pod, active in enumerate((10, 5, 0)):
        monitoring.pods.set(ACTIVE.name, active, [pod])
    monitoring.pods.set(WORKERS.name, 10)
    answer(metrics, Ratio(ACTIVE, WORKERS), 0.5)


@pytest.mark.parametrize("active", [0, 5])
def test_a_ratio_of_nothing_is_unknown(metrics: Metrics, monitoring: Monitoring, active: int) -> None:
    monitoring.pods.set(ACTIVE.name, active)
    monitoring.pods.set(WORKERS.name, 0)
    wait_for("seen", lambda: ask(metrics, WORKERS) == 0)
    assert ask(metrics, Ratio(ACTIVE, WORKERS)) in ("MissingMetric", "UnknownReading")


WAITING_WHILE_BUSY = While(DEPTH, ACTIVE, WORKERS)


def pool(monitoring: Monitoring, *active: float) -> None:
    """300 tasks wait, and so many of the ten workers of each pod are busy."""
    monitoring.pods.set(DEPTH.name, 300)
    monitoring.pods.set(WORKERS.name, 10)
    for pod, busy in enumerate(active):
        monitoring.pods.set(ACTIVE.name, busy, [pod])


# busy workers of each pod -> the tasks that wait while all are busy
BUSY = [((10, 10, 10), 300), ((10, 9, 10), 0), ((0, 0, 0), 0), ((11, 10, 10), 300), ((12, 9, 9), 300)]


@pytest.mark.parametrize(("active", "expected"), BUSY)
def test_a_gauge_while_the_sum_over_pods_is_at_its_bound(
    metrics: Metrics, monitoring: Monitoring, active: tuple[float, ...], expected: float
) -> None:
    pool(monitoring, *active)
    answer(metrics, WAITING_WHILE_BUSY, expected)


def test_as_the_expression_of_an_alert_rule(monitoring: Monitoring) -> None:
    expression = f"{promql(WAITING_WHILE_BUSY, (('namespace', OURS),))} > 50"
    pool(monitoring, 10, 9, 10)
    monitoring.await_query(f"sum({ACTIVE.name})", 29)  # else the samples of an earlier test would answer
    assert monitoring.query(expression) == []
    pool(monitoring, 10, 10, 10)
    monitoring.await_query(expression, 300)
    monitoring.pods.set(DEPTH.name, 50)
    monitoring.await_query(expression)


def test_of_no_workers_none_is_free(metrics: Metrics, monitoring: Monitoring) -> None:
    pool(monitoring, 0, 0, 0)
    monitoring.pods.set(WORKERS.name, 0)
    answer(metrics, WAITING_WHILE_BUSY, 300)


@pytest.mark.parametrize("name", [DEPTH.name, ACTIVE.name, WORKERS.name])
@pytest.mark.parametrize("active", [10, 0])
def test_a_gauge_while_something_is_missing_is_unknown_and_not_zero(
    metrics: Metrics, monitoring: Monitoring, name: str, active: float
) -> None:
    pool(monitoring, active, active, active)
    answer(metrics, WAITING_WHILE_BUSY, 300 if active else 0)
    monitoring.pods.do("drop", name=name)
    answer(metrics, WAITING_WHILE_BUSY, "MissingMetric")


@pytest.mark.parametrize("name", [ACTIVE.name, WORKERS.name])
def test_one_pod_that_reports_half_of_it_makes_the_whole_unknown(
    metrics: Metrics, monitoring: Monitoring, name: str
) -> None:
    pool(monitoring, 10, 10, 10)
    answer(metrics, WAITING_WHILE_BUSY, 300)
    monitoring.pods.do("drop", [1], name=name)
    answer(metrics, WAITING_WHILE_BUSY, "MissingMetric")


@pytest.mark.parametrize("name", [DEPTH.name, ACTIVE.name, WORKERS.name])
def test_a_gauge_while_something_is_no_number_is_unknown(metrics: Metrics, monitoring: Monitoring, name: str) -> None:
    """PromQL calls no comparison with NaN true: the whole would be 0, and pass for a pool with room."""
    pool(monitoring, 10, 10, 10)
    monitoring.pods.set(name, float("nan"), [1])
    answer(metrics, WAITING_WHILE_BUSY, "UnknownReading")


def test_missing_is_not_zero(metrics: Metrics, monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 0)
    answer(metrics, DEPTH, 0)
    monitoring.pods.do("drop", name=DEPTH.name)
    answer(metrics, DEPTH, "MissingMetric")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_unknown(metrics: Metrics, monitoring: Monitoring, value: str) -> None:
    monitoring.pods.set(DEPTH.name, float(value))
    answer(metrics, DEPTH, "UnknownReading")


@pytest.mark.parametrize("over_pods", ["max", "min", "sum"])
def test_one_pod_that_reports_no_number_makes_the_whole_unknown(
    metrics: Metrics, monitoring: Monitoring, over_pods: str
) -> None:
    """PromQL's max and min pass over NaN in silence: the pod with the trouble would be the one left out."""
    monitoring.pods.set("workers", 5)
    monitoring.pods.set("workers", float("nan"), [1])
    answer(metrics, Gauge("workers", over_pods), "UnknownReading")  # type: ignore[arg-type]


# ---- rates, slopes, quantiles --------------------------------------------------------------------------------------


def near(metrics: Metrics, question: Question, expected: float, tolerance: float, within: float = 12) -> None:
    """Until the answer is close to the expected one."""
    wait_for(
        f"{question} is about {expected}",
        lambda: ask(metrics, question) == pytest.approx(expected, abs=tolerance),
        within,
    )


def test_a_rate_is_summed_over_pods(metrics: Metrics, monitoring: Monitoring) -> None:
    monitoring.pods.do("drive", name=DONE, per_second=10, kind="counter")
    near(metrics, Rate(DONE, WINDOW), 30, 3)


def test_a_rate_survives_a_restart(metrics: Metrics, monitoring: Monitoring) -> None:
    """Prometheus sees a counter fall and counts from 0; the difference of two reads would be far below zero."""
    monitoring.pods.do("drive", [0], name=DONE, per_second=200, kind="counter")
    near(metrics, Rate(DONE, WINDOW), 200, 30)
    monitoring.pods.do("restart", [0])
    monitoring.pods.do("drive", [0], name=DONE, per_second=200, kind="counter")
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        found = ask(metrics, Rate(DONE, timedelta(seconds=1)))
        assert not isinstance(found, float) or found >= 0
    near(metrics, Rate(DONE, WINDOW), 200, 40)


def test_a_rate_that_nobody_exports(metrics: Metrics) -> None:
    assert ask(metrics, Rate("nobody_exports_total", timedelta(seconds=1))) == "MissingMetric"


@pytest.mark.parametrize("per_second", [20, -20])
def test_a_slope_rises_or_falls(metrics: Metrics, monitoring: Monitoring, per_second: int) -> None:
    monitoring.pods.set(DEPTH.name, 10_000)
    monitoring.pods.do("drive", name=DEPTH.name, per_second=per_second, kind="gauge")
    near(metrics, Slope(DEPTH, WINDOW), per_second, 3)


# Eight observations of every ten lie between 0.1 and 0.5 s, two between 0.5 and 1 s, whoever makes them.
QUANTILES = [(0.4, 0.1 + 0.4 * 0.4 / 0.8), (0.9, 0.5 + 0.5 * 0.1 / 0.2)]


@pytest.mark.parametrize(("quantile", "expected"), QUANTILES)
def test_a_quantile_of_all_pods_in_the_window(
    metrics: Metrics, monitoring: Monitoring, quantile: float, expected: float
) -> None:
    monitoring.pods.do("observe", name=TOOK, values=[4.0] * 50)  # old news: before the window
    monitoring.await_query(f"count({TOOK}_count)", 3)
    monitoring.pods.do("observe", [0], name=TOOK, values=[0.3] * 8, steadily=True)
    monitoring.pods.do("observe", [1], name=TOOK, values=[0.7] * 2, steadily=True)
    near(metrics, Quantile(TOOK, quantile, WINDOW), expected, 0.03, 20)


def test_a_quantile_of_nothing_is_unknown(metrics: Metrics, monitoring: Monitoring) -> None:
    monitoring.pods.do("observe", name=TOOK, values=[0.3])
    monitoring.await_query(f"count({TOOK}_count)", 3)
    nothing = Quantile(TOOK, 0.95, 2 * SCRAPE)  # the observation lies before the first scrape
    wait_for("unknown", lambda: ask(metrics, nothing) in ("MissingMetric", "UnknownReading"))


# ---- how old an answer is ------------------------------------------------------------------------------------------


def test_a_live_gauge_is_as_old_as_its_last_scrape(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 5)
    monitoring.await_query(f"count({DEPTH.name})", 3)
    wait_for("all young", lambda: fresh(monitoring.prometheus(), DEPTH).reach <= 2 * SCRAPE)


def test_a_window_reaches_back_over_the_whole_of_it(monitoring: Monitoring) -> None:
    monitoring.pods.do("drive", name=DONE, per_second=5, kind="counter")
    monitoring.pods.set(DEPTH.name, 5)
    near(monitoring.prometheus(), Rate(DONE, WINDOW), 15, 5)
    near(monitoring.prometheus(), Slope(DEPTH, WINDOW), 0, 1)
    rate, slope = (fresh(monitoring.prometheus(), q) for q in (Rate(DONE, WINDOW), Slope(DEPTH, WINDOW)))
    assert rate.reach == WINDOW
    assert slope.reach > WINDOW, "the first step of a slope takes a sample from before the window"


def test_scraped_endpoints_answer_for_the_time_of_the_scrape(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 5)
    monitoring.pods.do("drive", name=DONE, per_second=5, kind="counter")
    assert monitoring.endpoints().ask(DEPTH).reach < timedelta(seconds=1)
    reading = monitoring.endpoints().ask(Rate(DONE, timedelta(seconds=1)))
    assert timedelta(seconds=1) <= reading.reach < timedelta(seconds=3)


def hanging(monitoring: Monitoring, name: str, pods: Sequence[int] | None = None) -> Gauge:
    """A gauge of our pods whose samples say when they were taken, which hangs in these pods: in all, if none is named.
    No other test uses its name."""
    monitoring.pods.do("stamp")
    monitoring.pods.set(name, 5)
    monitoring.await_query(f"count({name})", 3)
    monitoring.pods.do("freeze", pods)
    return Gauge(name, "max")


def test_an_exporter_that_hangs_grows_old(monitoring: Monitoring) -> None:
    """Its samples carry their own time, so Prometheus goes on giving them out for five minutes."""
    gauge = hanging(monitoring, "hangs_everywhere")

    def old() -> Reading[float] | None:
        reading = monitoring.prometheus().ask(gauge)
        return reading if reading.lag > 3 * SCRAPE else None

    reading = wait_for("old", old)
    assert reading.value == 5
    assert reading.reach >= reading.lag


def test_one_pod_that_hangs_is_told_by_the_reach(monitoring: Monitoring) -> None:
    gauge = hanging(monitoring, "hangs_in_one_pod", [1])
    wait_for("old", lambda: fresh(monitoring.prometheus(), gauge).reach > 3 * SCRAPE)


def test_what_rests_on_several_series_is_as_old_as_the_oldest(monitoring: Monitoring) -> None:
    pods = monitoring.pods
    for pod, name in enumerate(("level_that_hangs", "live_bound", "live_depth")):
        pods.set(name, 5, [pod])
    pods.do("stamp", [0])
    monitoring.await_query('count({__name__=~"level_that_hangs|live_bound|live_depth"})', 3)
    pods.do("freeze", [0])
    question = While(Gauge("live_depth", "max"), Gauge("level_that_hangs", "sum"), Gauge("live_bound", "sum"))
    wait_for("old", lambda: monitoring.prometheus().ask(question).lag > 3 * SCRAPE)


def test_the_age_is_that_of_the_series_asked_for(monitoring: Monitoring) -> None:
    """Another label set, or another site, that is fresh must not make an old sample young."""
    pods = monitoring.pods
    pods.set("live_in_others", 1, [1, pods.other], queue="b")
    pods.do("stamp", [0])
    pods.set("live_in_others", 2, [0], queue="a")
    monitoring.await_query("count(live_in_others)", 3)
    pods.do("freeze", [0])
    gauge = Gauge("live_in_others", "max", (("queue", "a"),))
    wait_for("old", lambda: monitoring.prometheus().ask(gauge).lag > 3 * SCRAPE)


# ---- no answer -----------------------------------------------------------------------------------------------------


def test_pods_that_answer_with_an_error(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 5)
    answer(monitoring.prometheus(), DEPTH, 5)
    monitoring.pods.do("stop")
    answer(monitoring.prometheus(), DEPTH, "MissingMetric")
    with pytest.raises(httpx.HTTPStatusError):
        monitoring.endpoints().ask(DEPTH)


def test_one_dead_pod_makes_scraped_endpoints_unknown_and_not_smaller(monitoring: Monitoring) -> None:
    monitoring.pods.set("workers", 5)
    monitoring.pods.do("stop", [1])
    with pytest.raises(httpx.HTTPStatusError):
        monitoring.endpoints().ask(Gauge("workers", "sum"))


@pytest.mark.parametrize(
    ("question", "known"),
    [
        (Gauge("live_workers", "sum"), None),
        (Gauge("live_workers", "min"), None),
        (Ratio(Gauge("live_busy", "sum"), Gauge("live_workers", "sum")), None),
        (Rate("live_done", WINDOW), None),
        (Slope(Gauge("live_workers", "sum"), WINDOW), None),
        (While(Gauge("live_depth", "max"), Gauge("live_busy", "sum"), Gauge("live_workers", "sum")), None),
        (Gauge("live_depth", "max"), 7),  # each pod tells it
    ],
    ids=str,
)
def test_one_dead_pod_makes_what_is_summed_over_pods_unknown_and_not_smaller(
    monitoring: Monitoring, question: Question, known: float | None
) -> None:
    """Prometheus itself leaves it out in silence: the pod that is worst off would make the whole look well."""
    for name, value in (("live_workers", 5), ("live_busy", 5), ("live_done", 5), ("live_depth", 7)):
        monitoring.pods.set(name, value)
    monitoring.await_query("count(live_depth)", 3)
    wait_for("an answer", lambda: isinstance(ask(monitoring.prometheus(), question), float))
    monitoring.pods.do("stop", [1])
    monitoring.await_query("count(live_depth)", 2)
    if known is None:
        with pytest.raises(MissingMetric, match="1 of the pods that export live_"):
            monitoring.prometheus().ask(question)
    else:
        assert monitoring.prometheus().ask(question).value == known


def test_no_pods_at_all() -> None:
    with pytest.raises(MissingMetric, match="no ready pod"):
        Endpoints(list).ask(DEPTH)


def test_a_prometheus_that_is_not_there(monitoring: Monitoring) -> None:
    with pytest.raises(httpx.ConnectError):
        Prometheus("http://127.0.0.1:9").ask(DEPTH)


def test_a_question_that_prometheus_refuses(monitoring: Monitoring) -> None:
    with pytest.raises(QueryFailed, match="parse error"):
        monitoring.prometheus().ask(Gauge("no name", "max"))


# ---- rules and history ---------------------------------------------------------------------------------------------

SITE = {"namespace": OURS}


def state(monitoring: Monitoring, alert: str) -> str:
    return monitoring.prometheus().rule(alert, SITE).state


def test_states_of_a_rule(monitoring: Monitoring) -> None:
    wait_for("inactive", lambda: state(monitoring, "HighTaskQueueDepth") == "inactive")
    monitoring.pods.set(DEPTH.name, 900)
    wait_for("firing", lambda: state(monitoring, "HighTaskQueueDepth") == "firing")
    wait_for("held back", lambda: state(monitoring, "HeldBack") == "pending")
    rule = monitoring.prometheus().rule("HighTaskQueueDepth", SITE)
    assert rule.healthy
    assert rule.evaluated >= timedelta(0)
    wait_for("just now", lambda: monitoring.prometheus().rule("HighTaskQueueDepth", SITE).evaluated <= 2 * SCRAPE)
    monitoring.pods.set(DEPTH.name, 100)
    wait_for("over", lambda: state(monitoring, "HighTaskQueueDepth") == "inactive")


def test_a_rule_that_fires_for_another_site_does_not_fire_for_ours(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 100)
    monitoring.pods.set(DEPTH.name, 900, [monitoring.pods.other])
    there = {"namespace": OTHERS}
    other = Prometheus(monitoring.prometheus_url, (("namespace", OTHERS),))
    wait_until(lambda: state(monitoring, "HighTaskQueueDepth"), "inactive")
    wait_for("firing there", lambda: other.rule("HighTaskQueueDepth", there).state == "firing")
    assert state(monitoring, "HighTaskQueueDepth") == "inactive"
    wait_for("firing for nobody in particular", lambda: state(monitoring, "AggregatedAway") == "firing")


def test_a_rule_that_does_not_exist(monitoring: Monitoring) -> None:
    with pytest.raises(MissingMetric, match="no alerting rule NoSuchAlert"):
        monitoring.prometheus().rule("NoSuchAlert", SITE)


def test_a_rule_that_cannot_be_evaluated(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 1)
    wait_for("broken", lambda: not monitoring.prometheus().rule("Broken", SITE).healthy)
    wait_for("why", lambda: "duplicate" in monitoring.prometheus().rule("Broken", SITE).error)


def test_history_is_in_order_and_of_our_site(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 100)
    monitoring.pods.set(DEPTH.name, 5000, [monitoring.pods.other])

    def past() -> list[float]:
        points = monitoring.prometheus().history(DEPTH, timedelta(seconds=20))
        assert [point.at for point in points] == sorted(point.at for point in points)
        return [point.value for point in points]

    wait_for("100 is history", lambda: past()[-2:] == [100, 100])
    monitoring.pods.set(DEPTH.name, 300)

    def both() -> list[float] | None:
        values = past()
        return values if 100 in values and values[-1] == 300 else None

    assert 5000 not in wait_for("300 after 100", both)
    assert monitoring.endpoints().history(DEPTH, WINDOW) == ()
    assert monitoring.prometheus().history(Gauge("nobody_exports", "max"), WINDOW) == []


# ---- last, because Prometheus takes five seconds to take up other targets ------------------------------------------


def test_pods_that_are_scraped_no_longer_are_missing(monitoring: Monitoring) -> None:
    monitoring.pods.set(DEPTH.name, 5)
    answer(monitoring.prometheus(), DEPTH, 5)
    monitoring.scrape([monitoring.pods.other])
    answer(monitoring.prometheus(), DEPTH, "MissingMetric")
