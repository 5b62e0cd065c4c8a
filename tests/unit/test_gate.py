"""The gate opens only when every criterion held, on fresh samples, over its settle window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model.criterion import Criterion, Holds, Limit, Sample
from tasks.model.evidence import Reading, Unknown
from tasks.validate import Gate, Verdict, judge, look

CHANGED = 1000.0  # the moment of the last change, by the steady clock of these tests


def second(count: float) -> timedelta:
    return timedelta(seconds=count)


def criterion(name: str = "queue", *, within: float = 600, settle: float = 60, stale: float = 30) -> Criterion:
    def never() -> Reading[float]:
        raise AssertionError("the pure part does not measure")

    return Criterion(name, name, never, Limit("<", 800, "tasks"), second(within), second(settle), second(stale))


def reading(value: float, *, reach: float = 1, lag: float = 1) -> Reading[float]:
    return Reading(value, "test", second(reach), second(lag))


# ---- one sample ----------------------------------------------------------------------------------------------------

# what was read, seconds after the change when it was asked -> what it says
ONE_SAMPLE = [
    ("below the limit", reading(799), 100, Holds.YES, ""),
    ("on the limit", reading(800), 100, Holds.NO, ""),
    ("above the limit", reading(801), 100, Holds.NO, ""),
    ("missing", Unknown("nobody exports it"), 100, Holds.UNKNOWN, "nobody exports it"),
    ("NaN", reading(math.nan), 100, Holds.UNKNOWN, "not a finite number"),
    ("infinite", reading(math.inf), 100, Holds.UNKNOWN, "not a finite number"),
    ("minus infinity", reading(-math.inf), 100, Holds.UNKNOWN, "not a finite number"),
    ("as old as is allowed", reading(1, reach=30, lag=30), 100, Holds.YES, ""),
    ("stale", reading(1, reach=31, lag=31), 100, Holds.UNKNOWN, "31 s old"),
    ("asked before the change", reading(1), -1, Holds.UNKNOWN, "before the last change"),
    ("asked at the moment of the change", reading(1, reach=0), 0, Holds.UNKNOWN, "before the last change"),
    ("scraped before the change", reading(1, reach=11, lag=11), 10, Holds.UNKNOWN, "before the last change"),
    ("scraped just after the change", reading(1, reach=9.9, lag=9.9), 10, Holds.YES, ""),
    ("a rate that reaches back", reading(1, reach=300, lag=1), 299, Holds.UNKNOWN, "before the last change"),
    ("a rate of the time after", reading(1, reach=300, lag=1), 301, Holds.YES, ""),
    ("one pod scraped before", reading(1, reach=20, lag=1), 15, Holds.UNKNOWN, "before the last change"),
]


@pytest.mark.parametrize(
    ("seen", "after", "holds", "why"), [row[1:] for row in ONE_SAMPLE], ids=[r[0] for r in ONE_SAMPLE]
)
def test_one_sample(seen: Reading[float] | Unknown, after: float, holds: Holds, why: str) -> None:
    sample = judge(criterion(), seen, CHANGED + after, CHANGED)
    assert sample.holds is holds
    assert why in sample.why
    assert sample.moment == CHANGED + after


def test_a_lower_bound_informs_and_never_gates() -> None:
    band = replace(criterion(), limit=Limit("<=", 0.8, "ratio"), inform=Limit(">=", 0.6, "ratio"))
    idle = judge(band, reading(0.1), CHANGED + 50, CHANGED)
    assert (idle.holds, idle.note) == (Holds.YES, "outside >= 60%, for information")
    assert judge(band, reading(0.7), CHANGED + 50, CHANGED).note == ""
    assert judge(band, reading(0.9), CHANGED + 50, CHANGED).holds is Holds.NO


def test_whatever_goes_wrong_while_measuring_is_unknown_and_said_without_secrets() -> None:
    def measure() -> Reading[float]:
        raise RuntimeError("GET http://user:hunter2secret@prometheus failed")

    sample = look(replace(criterion(), measure=measure), CHANGED)
    assert sample.holds is Holds.UNKNOWN
    assert "failed" in sample.why
    assert "hunter2secret" not in sample.why


# ---- the gate ------------------------------------------------------------------------------------------------------

SIGNS = {"y": Holds.YES, "n": Holds.NO, "?": Holds.UNKNOWN}


@dataclass(frozen=True)
class Watched:
    """What the loop of `validate` came to: the verdict, and after how many looks."""

    verdict: Verdict
    looks: int


def watch(looks: Sequence[str], *criteria: Criterion, poll: float = 20, patient: bool = True) -> Watched:
    """The loop of `validate` with a steady clock of its own: one string per criterion, one sign per look."""
    gate = Gate(criteria, CHANGED, patient)
    for number, signs in enumerate(zip(*looks, strict=True), 1):
        now = CHANGED + number * poll
        gate = gate.see([Sample(c.id, SIGNS[s], now, s) for c, s in zip(criteria, signs, strict=True)], now)
        if gate.verdict is not Verdict.WAITING:
            return Watched(gate.verdict, number)
    return Watched(gate.verdict, len(looks[0]))


QUEUE = criterion("queue", within=120, settle=60)

# one look every 20 s, 60 s to settle, 120 s to begin to hold
ONE_CRITERION = [
    ("holds at once", "yyyy", Verdict.OPEN, 4),
    ("not long enough yet", "yyy", Verdict.WAITING, 3),
    ("holds later, in time", "nnnyyyy", Verdict.OPEN, 7),
    ("begins to hold at the deadline, may settle after it", "nnnnnyyyy", Verdict.OPEN, 9),
    ("begins to hold after the deadline", "nnnnnnyyyy", Verdict.CLOSED, 7),
    ("never holds", "nnnnnnnn", Verdict.CLOSED, 7),
    ("never known", "????????", Verdict.CLOSED, 7),
    ("true, then broken, then true: counts from the last time", "yyynyyyy", Verdict.OPEN, 8),
    ("true, then unknown, then true: counts from the last time", "yyy?yyyy", Verdict.OPEN, 8),
    ("true, broken after the deadline", "nnnnnyyn", Verdict.CLOSED, 8),
    ("true, unknown after the deadline", "nnnnnyy?", Verdict.CLOSED, 8),
    ("flaps until the deadline", "ynynynynyn", Verdict.CLOSED, 7),
]


@pytest.mark.parametrize(
    ("looks", "verdict", "after"), [r[1:] for r in ONE_CRITERION], ids=[r[0] for r in ONE_CRITERION]
)
def test_one_criterion(looks: str, verdict: Verdict, after: int) -> None:
    assert watch([looks], QUEUE) == Watched(verdict, after)


SLOW = criterion("alert", within=1800, settle=60)

TWO_CRITERIA = [
    ("both hold", "yyyy", "yyyy", Verdict.OPEN, 4),
    ("the second holds later", "yyyyyyyy", "nnnnyyyy", Verdict.OPEN, 8),
    ("the first breaks while the second settles", "yyyyyyyn", "nnnnyyyy", Verdict.CLOSED, 8),
    ("the first is unknown while the second settles", "yyyyyyy?", "nnnnyyyy", Verdict.CLOSED, 8),
    ("the first is late, whatever the second says", "nnnnnnnn", "yyyyyyyy", Verdict.CLOSED, 7),
]


@pytest.mark.parametrize(
    ("first", "other", "verdict", "after"), [row[1:] for row in TWO_CRITERIA], ids=[row[0] for row in TWO_CRITERIA]
)
def test_two_criteria_with_deadlines_of_their_own(first: str, other: str, verdict: Verdict, after: int) -> None:
    assert watch([first, other], QUEUE, SLOW) == Watched(verdict, after)


def test_an_impatient_gate_gives_only_the_time_to_settle() -> None:
    assert watch(["yyyy"], QUEUE, patient=False) == Watched(Verdict.OPEN, 4)
    assert watch(["nnnn"], QUEUE, patient=False) == Watched(Verdict.CLOSED, 4)
    assert watch(["nnyyyyyy"], QUEUE, patient=False) == Watched(Verdict.OPEN, 6)


def test_no_settle_time_means_one_fresh_sample() -> None:
    assert watch(["y"], criterion(settle=0)) == Watched(Verdict.OPEN, 1)
    assert watch(["?"], criterion(settle=0)) == Watched(Verdict.WAITING, 1)


def test_one_sample_never_fills_a_settle_window_however_long_the_look_took() -> None:
    gate = Gate((QUEUE,), CHANGED, patient=True)
    seen = gate.see([Sample("queue", Holds.YES, CHANGED + 1, "1")], now=CHANGED + 100)
    assert seen.verdict is Verdict.WAITING


def test_a_criterion_without_a_sample_keeps_the_gate_shut() -> None:
    gate = Gate((QUEUE, SLOW), CHANGED, patient=True)
    for number in range(1, 7):
        now = CHANGED + 20 * number
        gate = gate.see([Sample("queue", Holds.YES, now, "1")], now)
    assert gate.verdict is Verdict.WAITING


def test_there_is_no_gate_without_criteria() -> None:
    with pytest.raises(ValueError, match="without criteria"):
        Gate((), CHANGED, patient=True)


def test_the_gate_tells_what_is_missing() -> None:
    gate = Gate((QUEUE, SLOW), CHANGED, patient=True).see(
        [
            Sample("queue", Holds.NO, CHANGED + 1, "912 tasks"),
            Sample("alert", Holds.UNKNOWN, CHANGED + 1, "?", "no answer"),
        ],
        CHANGED + 1,
    )
    assert gate.describe() == "0 of 2 criteria hold; queue: 912 tasks; alert: ? (no answer)"


# ---- properties ----------------------------------------------------------------------------------------------------

_steps = st.lists(
    st.tuples(st.sampled_from("yn?"), st.sampled_from("yn?"), st.floats(0.1, 50), st.floats(0, 40)),
    min_size=1,
    max_size=40,
)


@given(_steps, st.booleans(), st.floats(0, 90), st.floats(0, 90), st.floats(1, 600))
def test_the_gate_opens_only_on_an_unbroken_row_of_yes(
    steps: list[tuple[str, str, float, float]], patient: bool, settle_a: float, settle_b: float, within: float
) -> None:
    criteria = (criterion("a", within=within, settle=settle_a), criterion("b", within=within, settle=settle_b))
    gate, now = Gate(criteria, CHANGED, patient), CHANGED
    history: dict[str, list[Sample]] = {"a": [], "b": []}
    for sign_a, sign_b, pause, slow in steps:
        asked = now + pause
        now = asked + slow  # a look can take long, and its samples are as old as its questions
        samples = [Sample("a", SIGNS[sign_a], asked, ""), Sample("b", SIGNS[sign_b], asked, "")]
        for sample in samples:
            history[sample.criterion].append(sample)
        gate = gate.see(samples, now)
        if gate.verdict is not Verdict.WAITING:
            break
    if gate.verdict is Verdict.OPEN:
        for one in criteria:
            row = history[one.id]
            unbroken: list[Sample] = []
            for sample in reversed(row):
                if sample.holds is not Holds.YES:
                    break
                unbroken.append(sample)
            assert unbroken, "opened although the latest sample does not hold"
            assert unbroken[0].moment - unbroken[-1].moment >= one.settle.total_seconds()
    if gate.verdict is Verdict.CLOSED:
        # Deadlines are timedeltas, which count in microseconds.
        assert now > CHANGED + (within if patient else min(settle_a, settle_b)) - 1e-6


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1000), st.floats(0, 1000), st.floats(-100, 2000))
def test_a_sample_that_holds_is_finite_fresh_and_younger_than_the_change(
    value: float, reach: float, lag: float, after: float
) -> None:
    sample = judge(criterion(), reading(value, reach=reach, lag=lag), CHANGED + after, CHANGED)
    if sample.holds is Holds.YES:
        assert math.isfinite(value)
        assert value < 800
        assert lag <= 30
        assert CHANGED + after - reach > CHANGED - 1e-3  # timedelta counts in microseconds


@given(st.text(), st.floats(-100, 2000))
def test_unknown_never_holds(reason: str, after: float) -> None:
    assert judge(criterion(), Unknown(reason), CHANGED + after, CHANGED).holds is Holds.UNKNOWN
