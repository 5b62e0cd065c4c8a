"""One run of one runbook: what the stages hand to each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from prefect import State, Task, allow_failure
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import MissingContextError, TerminationSignal
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.states import Failed
from prefect.tasks import exponential_backoff

from tasks import failpoint
from tasks.facts import LiveFacts
from tasks.guards import Asked, check
from tasks.ledger import Busy, Claimant, Ledger, LedgerUnavailable
from tasks.limits import Allowed
from tasks.model.change import Change, Diff, Purpose
from tasks.model.criterion import Criterion, Sample
from tasks.model.decision import Decision
from tasks.model.evidence import Reading, Unknown, not_stale
from tasks.model.incident import Incident, Raiser
from tasks.model.outcome import Severity
from tasks.model.refusal import Refusal, Refused
from tasks.model.target import Target
from tasks.platform import Platform
from tasks.redact import redact
from tasks.runbook import Runbook, Trigger
from tasks.systems.errors import explain
from tasks.systems.metrics import Point

P = TypeVar("P", bound=Platform)
F = TypeVar("F")
T = TypeVar("T")

_TRY_AGAIN = "TryAgain"
SEE_THROUGH_SECONDS = 20.0  # for a write that is under way; whoever ends a run waits longer before it kills
USELESS = "no help"  # the kind of the notes that say which options did not help


def try_again(why: str, attempt: int, allowed: int) -> State[Any] | None:
    """The state with which a piece of work asks to be repeated, or None when it has been often enough.

    `attempt` counts from 1, `allowed` is the number of repeats.
    """
    return Failed(name=_TRY_AGAIN, message=why) if attempt <= allowed else None


def _asks_again(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return state.name == _TRY_AGAIN


@dataclass(frozen=True, slots=True)
class Taken:
    """One reading of a diagnosis, by the name of its probe."""

    name: str
    reading: Reading[Any] | Unknown


@dataclass(frozen=True, slots=True)
class Planned:
    """One change with what it would do now, or why it may not be done."""

    change: Change
    diff: Diff | None
    refused: Refused | None
    key: str

    @property
    def text(self) -> str:
        return f"{self.change.target.name}, {self.change.field}: {self.diff or self.refused}"


@dataclass
class Case(Generic[P, F]):
    """What is known about a run while it goes on.

    `changed_at` is the moment, by our steady clock, of the last change (at first: of the beginning); a sample counts
    as fresh when all it rests on is younger. `after` holds the tasks that the next one follows in the run's graph.
    """

    runbook: Runbook[P, F]
    platform: P
    site: str
    ledger: Ledger
    run_id: str
    incident: Incident | None
    allowed: Allowed
    facts: LiveFacts
    deployed: Callable[[], Collection[str]]  # the ids of the runbooks that exist here; only a hand-over has to know
    started_at: datetime
    rank: Severity | None = None  # whom the run may take a target from; by default what its runbook's severity says
    began: float = field(default_factory=time.monotonic)
    changed_at: float = field(default_factory=time.monotonic)
    changed: bool = False
    after: list[PrefectFuture[Any]] = field(default_factory=list)
    rounds: list[tuple[Taken, ...]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    before: dict[str, Sample] = field(default_factory=dict)
    past: list[Point] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    plan: list[tuple[str, Planned]] = field(default_factory=list)
    unreadable: str = ""  # why the deciding metric could not be read the last time
    moments: list[tuple[datetime, str]] = field(default_factory=list)
    useless: list[str] = field(default_factory=list)  # options that the quick check found of no help
    writing: threading.Lock = field(default_factory=threading.Lock)  # held from the last question to the ledger's entry

    @property
    def trigger(self) -> Trigger:
        return self.runbook.trigger(self.platform)

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """The criteria of recovery; the alert's end is asked of whoever raised it."""
        return self.runbook.criteria(self.platform, self.incident.raiser if self.incident else Raiser.PERSON)

    @property
    def time_left(self) -> float:
        """Seconds until the document's limit for one attempt."""
        return self.began + self.platform.escalate_after.total_seconds() - time.monotonic()

    @property
    def severity(self) -> Severity:
        return self.rank or self.runbook.severity

    @property
    def lease(self) -> timedelta:
        return self.platform.pace.lease

    # ---- what the stages do with the ledger ----

    def check(self, change: Change, diff: Diff, planned: str, key: str, purpose: Purpose = Purpose.CHANGE) -> None:
        """Puts a change before the guards.

        Raises:
            Refused: one of them says no.
        """
        check(Asked(change, diff, purpose, planned, key, self.severity, self.allowed, self.facts))

    def hold(self, *targets: Target) -> None:
        """Takes the locks on what this run treats and on these targets; keeps those that it has.

        Raises:
            Refused: another run of the same or a higher severity has one of them.
        """
        wanted = {self.runbook.subject(self.platform), *targets}
        if wanted <= {held.target for held in self.facts.held}:
            return
        try:
            held = self.ledger.locks.acquire(
                self.run_id, self.runbook.id, self.severity, self.site, sorted(wanted, key=str), self.lease
            )
        except Busy as busy:
            raise Refused(Refusal.BUSY, str(busy)) from busy
        had = {one.target: one.epoch for one in self.facts.held}
        self.facts.held[:] = [*(one for one in self.facts.held if one.target not in wanted), *held]
        if any(had.get(one.target, one.epoch) != one.epoch for one in held):
            raise Refused(Refusal.SUPERSEDED, "another run had the target in between")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Gives the locks back at the end of the block.

        A run that is told to end in between begins no change any more, and first sees the one through that it is
        about: the locks are not given back, nor does the process end, between a write and its entry in the ledger.
        """
        try:
            yield
        except TerminationSignal:
            self.facts.told_to_end = True
            if self.writing.acquire(timeout=SEE_THROUGH_SECONDS):
                self.writing.release()
            raise
        finally:
            with suppress(LedgerUnavailable):  # what is held runs out by itself
                self.let_go()

    def let_go(self) -> None:
        """Gives the locks back."""
        self.ledger.locks.release(self.run_id)
        self.facts.held.clear()

    def intend(
        self, option: str, change: Change, diff: Diff, purpose: Purpose, number: int | None, looked_again: bool = False
    ) -> int:
        """Writes a change down, with the claim that it makes, while the locks are held."""
        due = self.ledger.now() + self.platform.restore_within
        claimant = Claimant(self.runbook.id, self.severity, due) if purpose is Purpose.CHANGE else None
        return self.ledger.changes.intend(
            self.run_id,
            self.incident.id if self.incident else None,
            self.site,
            option,
            purpose,
            change,
            diff,
            self.facts.held,
            claimant,
            number,
            looked_again=looked_again,
        )

    def refuse(
        self, option: str, change: Change, diff: Diff | None, why: str, purpose: Purpose = Purpose.CHANGE
    ) -> None:
        """Writes down that a change was refused."""
        incident = self.incident.id if self.incident else None
        self.ledger.changes.refused(self.run_id, incident, self.site, option, purpose, change, diff, why)

    # ---- what the stages do with Prefect ----

    def note(self, kind: str, text: str) -> None:
        """A line for the timeline, in the ledger and in the run's log."""
        note = self.ledger.runs.note(self.run_id, kind, text)
        try:
            get_run_logger().info("%s: %s", kind, note.text)
        except MissingContextError:  # outside a run, e.g. in `runbooks plan`
            return

    def remember_useless(self, option: str) -> None:
        """Keeps that an option did not help, so that a later execution of the same run knows it too."""
        self.useless.append(option)
        self.note(USELESS, option)

    def start(self, stage: str, title: str, work: Callable[[], T | State[T]], *, retries: int = 0) -> PrefectFuture[T]:
        """Starts a piece of work as a Prefect task that follows the last ones in the run's graph.

        It runs even if those failed: an unknown reading or a failed change is something to act on. The work is
        repeated, at most `retries` times, when it returns `try_again`; a failure that will not go away it returns too.
        """
        following: list[Any] = [allow_failure(future) for future in self.after]
        title = redact(title)
        name = title.partition(":")[0] if stage == "mitigate" else title

        def between_fail_points() -> T | State[T]:
            failpoint.reach(f"before {name}")
            result = work()
            failpoint.reach(f"after {name}")
            return result

        piece: Any = Task(  # Any: mypy does not find the overload of `submit` that takes `wait_for`
            between_fail_points,
            name=stage,
            task_run_name=title,
            retries=retries + 1,  # the condition is what ends the retries, without a log of 'retries are exhausted'
            retry_condition_fn=_asks_again,
            retry_delay_seconds=exponential_backoff(backoff_factor=0.5),
            retry_jitter_factor=0.5,
            persist_result=False,
        )
        started: PrefectFuture[T] = piece.submit(wait_for=following)
        return started

    def follow(self, stage: str, title: str, work: Callable[[], T]) -> T:
        """Runs a piece of work as the next task of the run and returns what it returns."""
        future = self.start(stage, title, work)
        result = future.result()
        self.after = [future]
        return result

    def watch(self) -> float | None:
        """The deciding metric now, kept for the plot; None when it cannot be read."""
        try:
            reading = not_stale(self.platform.metrics().ask(self.trigger.question), self.platform.pace.stale_after)
        except Exception as error:  # whatever went wrong, the metric is unknown and the timeline says why
            if explain(error) != self.unreadable:
                self.unreadable = explain(error)
                self.note("unreadable", self.unreadable)
            return None
        self.unreadable = ""
        self.points.append(Point(reading.at, reading.value))
        return reading.value

    def look_back(self) -> Sequence[Point]:
        """The deciding metric of the time before the run, where somebody keeps it; only the plot needs it."""
        try:
            return self.platform.metrics().history(self.trigger.question, 2 * self.platform.pace.window)
        except Exception as error:  # a report without the past is still a report
            self.note("unreadable", f"history: {explain(error)}")
            return ()
