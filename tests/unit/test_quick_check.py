"""Whether an option helps, told from the deciding metric since its change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model.criterion import Limit
from tasks.systems.metrics import Point
from tasks.validate import Helps, assess, trend

START = datetime(2026, 1, 1, tzinfo=UTC)
ABOVE_800 = Limit(">", 800, "tasks")
EVERY = 10.0  # seconds between two points


def line(*values: float) -> list[Point]:
    return [Point(START + timedelta(seconds=EVERY * number), value) for number, value in enumerate(values)]


# points, one every 10 s; seconds since the change -> 30 s to settle, 60 s of patience, 300 s left
CASES = [
    ("nothing read yet", (), 5, Helps.TOO_EARLY),
    ("nothing read in all this time", (), 60, Helps.NO),
    ("below the limit, a moment ago", (900, 790), 20, Helps.TOO_EARLY),
    ("below the limit for the settle window", (900, 790, 780, 770), 40, Helps.CLEARED),
    ("never above the limit, not settled", (790, 790, 790), 30, Helps.TOO_EARLY),
    ("never above the limit", (790, 790, 790, 790), 40, Helps.CLEARED),
    ("on the limit is not broken", (900, 800, 800, 800), 40, Helps.CLEARED),
    ("below, then above within the window", (790, 790, 810, 790, 790), 50, Helps.TOO_EARLY),
    ("above, still early", (900, 910), 20, Helps.TOO_EARLY),
    ("above and rising", (900, 910, 920, 930, 940, 950, 960), 60, Helps.NO),
    ("above and flat", (900, 900, 900, 900, 900, 900, 900), 60, Helps.NO),
    ("falling fast enough", (1000, 980, 960, 940, 920, 900, 880), 60, Helps.RECOVERING),
    ("falling too slowly for the time left", (900, 899, 898, 897, 896, 895, 894), 60, Helps.NO),
    ("two points are no trend", (900, 880), 60, Helps.NO),
]


@pytest.mark.parametrize(("values", "elapsed", "helps"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_does_it_help(values: tuple[float, ...], elapsed: float, helps: Helps) -> None:
    assert assess(line(*values), ABOVE_800, settle=30, elapsed=elapsed, patience=60, time_left=300) is helps


def test_a_lower_limit_works_the_same_way_round() -> None:
    below_5 = Limit("<", 5, "per second")
    assert assess(line(1, 2, 3, 4), below_5, 30, 60, 60, 300) is Helps.RECOVERING
    assert assess(line(4, 3, 2, 1), below_5, 30, 60, 60, 300) is Helps.NO
    assert assess(line(1, 6, 6, 6), below_5, 20, 60, 60, 300) is Helps.CLEARED


def test_no_time_left_means_no_recovery_in_time() -> None:
    assert assess(line(900, 880, 860), ABOVE_800, 30, 60, 60, time_left=0) is Helps.NO


def test_trend_of_too_few_points_or_of_one_moment() -> None:
    assert trend(()) is None
    assert trend(line(1, 2)) is None
    assert trend([Point(START, 1), Point(START, 2), Point(START, 3)]) is None


@given(st.floats(-100, 100), st.floats(-1e4, 1e4), st.integers(3, 50))
def test_trend_of_a_straight_line_is_its_slope(slope: float, start: float, count: int) -> None:
    found = trend(line(*(start + slope * EVERY * number for number in range(count))))
    assert found == pytest.approx(slope, abs=1e-6)


_values = st.lists(st.floats(0, 2000), max_size=30)
_seconds = st.floats(0, 600)


@given(_values, _seconds, _seconds, _seconds, _seconds)
def test_cleared_means_not_broken_in_the_whole_settle_window(
    values: list[float], settle: float, elapsed: float, patience: float, left: float
) -> None:
    points = line(*values)
    if assess(points, ABOVE_800, settle, elapsed, patience, left) is Helps.CLEARED:
        window = [p for p in points if (points[-1].at - p.at).total_seconds() < settle]
        assert not any(ABOVE_800.holds(p.value) for p in window)
        assert (points[-1].at - points[0].at).total_seconds() >= settle


@given(_values, _seconds, _seconds, _seconds)
def test_recovering_means_the_limit_is_reached_in_time(
    values: list[float], settle: float, patience: float, left: float
) -> None:
    points = line(*values)
    if assess(points, ABOVE_800, settle, patience, patience, left) is Helps.RECOVERING:
        slope = trend(points)
        assert slope is not None
        assert slope < 0
        assert points[-1].value + slope * left <= 800 + 1e-6
