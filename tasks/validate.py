"""Validate: the document's criteria as the final gate, and the quick check between two options.

A criterion holds when fresh samples satisfy it without a break over the settle window. Fresh means that everything
a sample rests on is younger than the last change, by the clock of its source. What cannot be read, is missing, is
not a number or is stale is unknown, and unknown never opens the gate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from prefect import State
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.states import Failed

from tasks.case import Case
from tasks.model.criterion import Criterion, Holds, Limit, Sample
from tasks.model.evidence import Reading, Unknown
from tasks.platform import Platform
from tasks.report import text
from tasks.systems.errors import explain
from tasks.systems.metrics import Point

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


# ---- one sample ----------------------------------------------------------------------------------------------------


def judge(criterion: Criterion, reading: Reading[float] | Unknown, asked_at: float, changed_at: float) -> Sample:
    """What one reading says about a criterion. Pure; both moments are by our steady clock.

    `asked_at` is when the question was sent: what the reading rests on is at most `reach` older than that.
    """

    def sample(holds: Holds, why: str = "") -> Sample:
        if isinstance(reading, Unknown):
            return Sample(criterion.id, holds, asked_at, "unknown", why)
        shown = criterion.limit.show(reading.value)
        note = ""
        if criterion.inform and not criterion.inform.holds(reading.value):
            note = f"outside {criterion.inform}, for information"
        return Sample(criterion.id, holds, asked_at, shown, why, reading.value, note)

    if isinstance(reading, Unknown):
        return sample(Holds.UNKNOWN, reading.reason)
    if not math.isfinite(reading.value):
        return sample(Holds.UNKNOWN, "the value is not a finite number")
    if reading.lag > criterion.stale_after:
        return sample(Holds.UNKNOWN, f"the newest sample is {reading.lag.total_seconds():.0f} s old")
    if asked_at - reading.reach.total_seconds() <= changed_at:
        return sample(Holds.UNKNOWN, "the sample still looks at the time before the last change")
    return sample(Holds.YES if criterion.limit.holds(reading.value) else Holds.NO)


def look(criterion: Criterion, changed_at: float) -> Sample:
    """Takes one sample of a criterion."""
    asked_at = time.monotonic()
    reading: Reading[float] | Unknown
    try:
        reading = criterion.measure()
    except Exception as error:  # whatever went wrong, the criterion is unknown and the report says why
        reading = Unknown.because(explain(error))
    return judge(criterion, reading, asked_at, changed_at)


def measure_before(case: Case[P, F]) -> None:
    """What the criteria say before anything is done, for the report. Once per run."""
    if case.before:
        return

    def measure() -> str:
        for criterion in case.criteria:
            case.before[criterion.id] = look(criterion, changed_at=-math.inf)
        return "; ".join(f"{name}: {sample.shown}" for name, sample in case.before.items())

    case.follow("measure", "measure: criteria before", measure)
    case.past.extend(case.look_back())


# ---- the gate ------------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Gate:
    """The state of the gate between two looks. Pure: `see` returns the next one.

    `since` tells from which moment on a criterion has held without a break.
    """

    criteria: tuple[Criterion, ...]
    changed_at: float
    patient: bool
    since: Mapping[str, float] = field(default_factory=dict)
    latest: Mapping[str, Sample] = field(default_factory=dict)
    verdict: Verdict = Verdict.WAITING

    def __post_init__(self) -> None:
        if not self.criteria:
            raise ValueError("a gate without criteria would open on nothing")

    def see(self, samples: Sequence[Sample], now: float) -> Gate:
        """The gate after one more look at all criteria."""
        since: dict[str, float] = {}
        for sample in samples:
            if sample.holds is Holds.YES:
                since[sample.criterion] = self.since.get(sample.criterion, sample.moment)
        after = replace(self, since=since, latest={sample.criterion: sample for sample in samples})
        if all(after.settled(criterion) for criterion in self.criteria):
            return replace(after, verdict=Verdict.OPEN)
        if any(after.late(criterion, now) for criterion in self.criteria):
            return replace(after, verdict=Verdict.CLOSED)
        return after

    def settled(self, criterion: Criterion) -> bool:
        """Whether the criterion has held long enough, from the first to the latest sample: the time since the latest
        one counts for nothing, or one slow look at another criterion would fill the settle window."""
        held, latest = self.since.get(criterion.id), self.latest.get(criterion.id)
        if held is None or latest is None:
            return False
        return latest.moment - held >= criterion.settle.total_seconds()

    def late(self, criterion: Criterion, now: float) -> bool:
        """Whether the criterion did not hold in time. One that began to hold in time may finish settling."""
        deadline = self.deadline(criterion)
        held = self.since.get(criterion.id)
        return now > deadline and (held is None or held > deadline)

    def deadline(self, criterion: Criterion) -> float:
        """The moment by which the criterion must hold. An impatient gate (nothing was done that could still take
        effect) gives only the time for one settle window."""
        allowed = criterion.within if self.patient else criterion.settle
        return self.changed_at + allowed.total_seconds()

    def describe(self, *, why: bool = True) -> str:
        """`2 of 3 criteria hold; queue depth drops below 800: 912 tasks`, and why something is unknown."""
        missing = [
            f"{c.text}: {s.shown}" + (f" ({s.why})" if s.why and why else "")
            for c in self.criteria
            if (s := self.latest.get(c.id)) is not None and s.holds is not Holds.YES
        ]
        held = sum(1 for s in self.latest.values() if s.holds is Holds.YES)
        return "; ".join([f"{held} of {len(self.criteria)} criteria hold", *missing])


def validate(case: Case[P, F], *, patient: bool) -> Gate:
    """The gate as the last task of the run. The task fails when the gate stays closed.

    Raises:
        LedgerUnavailable: what it sees cannot be written down.
    """
    criteria = case.criteria
    # An impatient gate counts its time from now; freshness counts from the last change in any case.
    started = case.changed_at if patient else time.monotonic()
    seen: list[Gate] = [Gate(criteria, started, patient)]

    def watch() -> str | State[Any]:
        progress, told = Progress(f"gate: {len(criteria)} criteria"), ""
        while seen[-1].verdict is Verdict.WAITING:
            samples = [look(criterion, case.changed_at) for criterion in criteria]
            gate = seen[-1].see(samples, time.monotonic())
            seen.append(gate)
            case.watch()
            if gate.describe() != told:
                told = gate.describe()
                held = sum(gate.settled(c) for c in criteria)
                progress.show(100.0 * held / len(criteria), f"gate: {text(told)}")
                case.note("gate", told)
            if gate.verdict is Verdict.WAITING:
                time.sleep(case.platform.pace.poll_seconds)
        if seen[-1].verdict is Verdict.OPEN:
            return told
        return Failed(name="GateClosed", message=told)

    watching = case.start("validate", f"validate: {len(criteria)} criteria of recovery", watch)
    watching.wait()
    if seen[-1].verdict is Verdict.WAITING:
        watching.result()  # what ended the watch says nothing about the system: it is no closed gate
    return seen[-1]


class Progress:
    """How far the gate is, as Prefect's UI shows it. That it cannot be shown does not matter to the gate."""

    def __init__(self, description: str) -> None:
        self._id: UUID | None = None
        with suppress(Exception):
            made = create_progress_artifact(0.0, description=description)
            self._id = made if isinstance(made, UUID) else None  # a coroutine only in async code

    def show(self, percent: float, description: str) -> None:
        """Shows it, where that is possible."""
        if self._id is not None:
            with suppress(Exception):
                update_progress_artifact(self._id, percent, description=description)


# ---- the quick check -----------------------------------------------------------------------------------------------


class Helps(StrEnum):
    """What the deciding metric says about the option just taken."""

    CLEARED = "cleared"  # the alert's condition is gone
    RECOVERING = "recovering"  # it will be gone in time, at this rate
    TOO_EARLY = "too early to tell"
    NO = "does not help"


def trend(points: Sequence[Point]) -> float | None:
    """The slope of the best straight line through the points, per second; None for fewer than three."""
    if len(points) < 3:
        return None
    start = points[0].at
    xs = [(point.at - start).total_seconds() for point in points]
    ys = [point.value for point in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        return None
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def assess(
    points: Sequence[Point], broken: Limit, settle: float, elapsed: float, patience: float, time_left: float
) -> Helps:
    """Whether the option helps, from the points since its change. Pure; durations in seconds.

    Cleared means: not broken in any point of the last `settle` seconds. After `patience` the metric must at least be
    moving towards the limit fast enough to pass it within `time_left`.
    """
    if not points:
        return Helps.TOO_EARLY if elapsed < patience else Helps.NO
    now = points[-1].at
    if not broken.holds(points[-1].value):
        last_broken = max((p.at for p in points if broken.holds(p.value)), default=points[0].at)
        settled = (now - last_broken).total_seconds() >= settle
        return Helps.CLEARED if settled else Helps.TOO_EARLY
    if elapsed < patience:
        return Helps.TOO_EARLY
    slope = trend(points)
    if not slope:
        return Helps.NO
    needed = (broken.bound - points[-1].value) / slope
    return Helps.RECOVERING if 0 <= needed <= time_left else Helps.NO


def quick_check(case: Case[P, F], option: str) -> Helps:
    """Watches the deciding metric until the option has cleared it or clearly does not help."""
    trigger, pace = case.trigger, case.platform.pace
    began, first = time.monotonic(), len(case.points)

    def watch() -> Helps:
        while True:
            value = case.watch()
            # What cannot be read any more is not judged by what was read before.
            helps = assess(
                case.points[first:] if value is not None else (),
                trigger.broken,
                pace.settle.total_seconds(),
                time.monotonic() - began,
                pace.quick_check.total_seconds(),
                case.time_left,
            )
            done = helps in (Helps.CLEARED, Helps.NO) or case.time_left <= 0
            if done:
                shown = "unreadable" if value is None else trigger.broken.show(value)
                case.note("checked", f"{option}: {helps} ({trigger.text}; now {shown})")
                return helps
            time.sleep(pace.poll_seconds)

    return case.follow("check", f"check: does “{option}” help?", watch)


def await_readings(case: Case[P, F], longest: float) -> float:
    """Waits until the deciding metric can be read, about `longest` seconds at most; says how many it were.

    A series is gone with the first scrape that fails, and a pod that is overloaded fails scrapes: one look in such a
    moment is no reason to give up. Other readings may be missing still: then it is waited once more, and together as
    long as a sample may be old.
    """
    pace, began = case.platform.pace, time.monotonic()
    longest = min(longest, case.time_left)

    def wait() -> str:
        while True:
            time.sleep(pace.poll_seconds)
            value = case.watch()
            if value is not None or time.monotonic() - began >= longest:
                shown = "still unreadable" if value is None else case.trigger.broken.show(value)
                case.note("checked", f"readings were missing, so once more ({case.trigger.text}; now {shown})")
                return shown

    case.follow("check", "check: can be read again what was missing?", wait)
    return time.monotonic() - began
