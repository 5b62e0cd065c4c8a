"""Scraped endpoints: exact names, sums and maxima over pods, resets, and nothing invented."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from tasks.model.evidence import UnknownReading
from tasks.systems.exposition import Scrape, aggregate, between, parse
from tasks.systems.metrics import Gauge, MissingMetric, Quantile, Rate, Slope

WINDOW = timedelta(seconds=10)


def scrapes(*texts: str, moment: float = 0) -> list[Scrape]:
    """One scrape per pod."""
    return [Scrape(f"pod-{number}", moment, parse(text)) for number, text in enumerate(texts)]


PENDING = """\
# HELP queue_pending HELP of 12 tasks
# TYPE queue_pending gauge
queue_pending 850
queue_pending_total 9
not_queue_pending 7
"""


def test_help_text_and_names_that_only_look_alike_are_not_read() -> None:
    assert aggregate(Gauge("queue_pending", "max"), scrapes(PENDING)) == 850


def test_over_pods() -> None:
    found = scrapes("workers 4\n", "workers 6\n", "workers 5\n")
    assert [aggregate(Gauge("workers", how), found) for how in ("sum", "max", "min")] == [15, 6, 4]


def test_only_the_series_with_the_labels() -> None:
    found = scrapes('size{queue="a",x="1"} 1\nsize{queue="a",x="2"} 2\nsize{queue="b",x="1"} 40\n')
    assert aggregate(Gauge("size", "sum", (("queue", "a"),)), found) == 3
    assert aggregate(Gauge("size", "sum"), found) == 43


def test_a_label_with_spaces_and_quotes() -> None:
    assert aggregate(Gauge("size", "sum", (("q", 'a b"c'),)), scrapes('size{q="a b\\"c"} 5\n')) == 5


def test_a_pod_without_the_series_makes_the_whole_unknown() -> None:
    with pytest.raises(MissingMetric, match="pod-1 does not export workers"):
        aggregate(Gauge("workers", "sum"), scrapes("workers 4\n", "other 6\n"))


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_a_pod_whose_number_is_none_makes_the_whole_unknown(value: str) -> None:
    with pytest.raises(UnknownReading):
        aggregate(Gauge("workers", "max"), scrapes("workers 4\n", f"workers {value}\n"))


def test_text_that_is_no_exposition() -> None:
    with pytest.raises(ValueError, match="html"):
        parse("<html><body>Bad gateway</body></html>")


def rate(first: list[str], second: list[str]) -> float:
    return between(Rate("done_total", WINDOW), scrapes(*first), scrapes(*second, moment=10))


def test_a_rate_is_the_growth_of_all_pods_per_second() -> None:
    assert rate(["done_total 100\n", "done_total 5\n"], ["done_total 150\n", "done_total 15\n"]) == 6


def test_a_counter_that_fell_was_reset_and_counts_from_zero() -> None:
    assert rate(["done_total 100\n"], ["done_total 20\n"]) == 2


def test_a_new_pod_counts_for_nothing_yet() -> None:
    assert rate(["done_total 100\n"], ["done_total 110\n", "done_total 5000\n"]) == 1


def test_a_counter_that_nobody_exports() -> None:
    with pytest.raises(MissingMetric):
        rate(["x 1\n"], ["x 1\n"])


def test_a_counter_that_is_no_number() -> None:
    assert math.isnan(rate(["done_total 1\n"], ["done_total NaN\n"]))


def test_a_slope_may_fall() -> None:
    question = Slope(Gauge("depth", "max"), WINDOW)
    assert between(question, scrapes("depth 900\n"), scrapes("depth 870\n", moment=10)) == -3


def buckets(*counts: int, bounds: tuple[str, ...] = ("0.1", "0.5", "1.0", "+Inf")) -> str:
    lines = [f'took_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)]
    return "\n".join(lines) + "\n"


# the growth of the buckets up to 0.1 s, 0.5 s, 1.0 s and without end -> the median
QUANTILES = [
    ((10, 10, 10, 10), 0.05),
    ((0, 10, 10, 10), 0.3),
    ((5, 10, 10, 10), 0.1),
    ((0, 0, 10, 10), 0.75),
    ((0, 0, 0, 10), 1.0),  # beyond the last bound: all that is known is 'more than that'
]


@pytest.mark.parametrize(("growth", "median"), QUANTILES)
def test_quantiles_of_what_was_observed_in_the_window(growth: tuple[int, ...], median: float) -> None:
    old, new = buckets(7, 7, 7, 7), buckets(*(7 + count for count in growth))
    found = between(Quantile("took", 0.5, WINDOW), scrapes(old), scrapes(new, moment=10))
    assert found == pytest.approx(median)


def test_a_quantile_over_pods_is_that_of_all_observations() -> None:
    one, two = buckets(10, 10, 10, 10), buckets(0, 0, 30, 30)
    nothing = buckets(0, 0, 0, 0)
    found = between(Quantile("took", 0.5, WINDOW), scrapes(nothing, nothing), scrapes(one, two, moment=10))
    assert found == pytest.approx(0.5 + 0.5 * 10 / 30)


def test_a_quantile_of_nothing() -> None:
    same = scrapes(buckets(3, 3, 3, 3))
    with pytest.raises(MissingMetric, match="nothing was observed"):
        between(Quantile("took", 0.5, WINDOW), same, scrapes(buckets(3, 3, 3, 3), moment=10))
