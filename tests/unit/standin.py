"""A system under care in memory: numbers with versions, as an API server keeps them. It is our code that is tested with
it, not a system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import PrivateAttr

from tasks.claims import Claiming
from tasks.model.change import Change, Conflict, Diff, Effect, Happened, NotInEffect, Surroundings
from tasks.model.claim import Bound, Claim, Levels, settle
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, GiveBack, Healthy, Keep, Triage, Verdict, Yes
from tasks.model.escalation import Ladder, Level
from tasks.model.evidence import Probe, Reading, Unknown
from tasks.model.incident import Raiser
from tasks.model.knob import Dial, Knob
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tasks.platform import Pace, Platform
from tasks.runbook import Look, Release, Runbook, Trigger
from tasks.systems.metrics import Gauge, Metrics, Point, Question

VALUE, FIELD = "value", "replicas"
SUBJECT = Target("deployment", "bus", "orchestration")
NOTHING_AROUND = Surroundings()


@dataclass
class Number:
    """A number with a version, and what goes wrong with it: one trouble per call, the first one first."""

    value: int = 2
    version: int = 1
    writes: list[int] = field(default_factory=list)
    lowering: Effect = Effect.REVERSIBLE
    around: Surroundings = field(default_factory=Surroundings)
    on_read: list[Trouble] = field(default_factory=list)
    before_write: list[Trouble] = field(default_factory=list)
    after_write: list[Trouble] = field(default_factory=list)
    on_verify: list[Trouble] = field(default_factory=list)

    def set(self, value: int) -> None:
        """Somebody else writes."""
        self.value, self.version = value, self.version + 1

    def trouble(self, troubles: list[Trouble]) -> None:
        """The next trouble of these, if there is any left."""
        if troubles:
            troubles.pop(0)(self)


Trouble = Callable[[Number], None]


def nothing(number: Number) -> None:
    """No trouble this time."""


def fails(error: Exception) -> Trouble:
    """The call fails."""

    def trouble(number: Number) -> None:
        raise error

    return trouble


def somebody_writes(value: int) -> Trouble:
    """Somebody else sets the number first."""
    return lambda number: number.set(value)


def touched(number: Number) -> None:
    """Somebody else writes something else into the same object."""
    number.set(number.value)


@dataclass(frozen=True)
class Turning:
    """The knob of a number: each of its calls may meet trouble."""

    number: Number
    name: str = "orchestration"
    field: str = FIELD

    @property
    def target(self) -> Target:
        return Target("deployment", "bus", self.name)

    def read(self) -> Dial:
        self.number.trouble(self.number.on_read)
        return Dial({VALUE: self.number.value}, str(self.number.version), around=self.number.around)

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        return {VALUE: settle(baseline[VALUE], claims)}

    def show(self, levels: Levels) -> str:
        return str(levels[VALUE])

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        return {FIELD: levels[VALUE]}

    def effect(self, *, lowers: bool) -> Effect:
        return self.number.lowering if lowers else Effect.REVERSIBLE

    def write(self, levels: Levels, version: str) -> None:
        self.number.trouble(self.number.before_write)
        if version != str(self.number.version):
            raise Conflict("it changed between reading and writing")
        self.number.set(levels[VALUE])
        self.number.writes.append(levels[VALUE])
        self.number.trouble(self.number.after_write)

    def verify(self, levels: Levels, within: timedelta) -> str:
        self.number.trouble(self.number.on_verify)
        if self.number.value != levels[VALUE]:
            raise NotInEffect(f"reads {self.number.value}")
        return f"reads {self.number.value}"


def at_least(number: Number, value: int = 5, name: str = "orchestration", asks: str = "") -> Claiming:
    """A floor on a number."""
    return Claiming(Turning(number, name), Claim(Bound.AT_LEAST, value), "when fewer wait", asks)


def at_most(number: Number, value: int = 1, name: str = "publishers", asks: str = "") -> Claiming:
    """A ceiling on a number."""
    return Claiming(Turning(number, name), Claim(Bound.AT_MOST, value), "when fewer wait", asks)


@dataclass
class Job:
    """Something that is ended once. `tells` says what it answers when it is asked whether it was."""

    ended: int = 0
    tells: Happened | Exception = Happened.UNKNOWN
    before_write: list[Exception] = field(default_factory=list)
    after_write: list[Exception] = field(default_factory=list)


@dataclass(frozen=True)
class End:
    """Ends a job: nothing that may be done twice, and nothing that its target could tell by its state."""

    job: Job
    name: str = "job-1"
    asks: str = ""
    effect: Effect = Effect.REVERSIBLE
    field: str = "run"
    wanted: str = "ended"
    restore: str = "nothing to give back"
    around: Surroundings = NOTHING_AROUND

    @property
    def target(self) -> Target:
        return Target("job", "bus", self.name)

    def diff(self) -> Diff:
        return Diff("running", "ended", around=self.around)

    def happened(self, since: datetime) -> Happened:
        if isinstance(self.job.tells, Exception):
            raise self.job.tells
        return self.job.tells

    def apply(self, diff: Diff) -> None:
        if self.job.before_write:
            raise self.job.before_write.pop(0)
        self.job.ended += 1
        if self.job.after_write:
            raise self.job.after_write.pop(0)

    def verify(self, within: timedelta) -> str:
        return f"ended {self.job.ended} times"


# ---- the platform and its runbook ----------------------------------------------------------------------------------


@dataclass
class Answers:
    """Whoever answers questions about metrics: always with the same number, or with trouble."""

    value: float | Exception = 900

    def ask(self, question: Question) -> Reading[float]:
        if isinstance(self.value, Exception):
            raise self.value
        return Reading(self.value, "a test")

    def history(self, question: Question, since: timedelta) -> Sequence[Point]:
        return ()


class Standin(Platform):
    """One site of it. What holds for all sites of a platform is set here as a person would set it."""

    _block_type_name = "Stand-in"
    _block_type_slug = "stand-in"
    _numbers: dict[str, Number] = PrivateAttr(default_factory=dict)
    _answers: Answers = PrivateAttr(default_factory=Answers)
    _follows: list[Change] = PrivateAttr(default_factory=list)

    restore_below: int = 500

    @property
    def numbers(self) -> dict[str, Number]:
        """What there is, by name."""
        return self._numbers

    @property
    def answers(self) -> Answers:
        """What the metrics say."""
        return self._answers

    @property
    def follows(self) -> list[Change]:
        """What has to follow a giving back, one after the other."""
        return self._follows

    def knob(self, target: Target, field: str) -> Knob:
        if target.name not in self._numbers:
            raise ValueError(f"{field} of {target} is nothing that this platform turns")
        return Turning(self._numbers[target.name], target.name, field)

    def follow_up(self, target: Target, field: str) -> Change | None:
        return self._follows.pop(0) if self._follows else None

    def ceilings(self) -> Mapping[str, int]:
        return {FIELD: 20}

    def floors(self) -> Mapping[str, int]:
        return {"publishers": 0}

    def where(self) -> str:
        return "in memory"

    def scopes(self) -> frozenset[str]:
        return frozenset({"bus"})

    def metrics(self) -> Metrics:
        return self._answers


def standin(**settings: object) -> Standin:
    """A site, quick to look again."""
    quick = Pace(poll_seconds=0.001, give_back_seconds=0.001)
    return Standin.model_validate({"pace": quick, "alert_labels": {"site": "prod"}, **settings})


QUESTION = Gauge("waiting", "max")


@dataclass(frozen=True)
class Waiting:
    """How many wait."""

    count: float


@dataclass(frozen=True)
class Found:
    """The evidence: how many wait."""

    waiting: Waiting | Unknown


def evidence(look: Look, site: Standin) -> Found:
    """Takes the reading."""

    def read() -> Reading[Waiting]:
        return Reading(Waiting(site.metrics().ask(QUESTION).value), "a test")

    return Found(look(Probe("waiting", read)))


def triage(found: Found, site: Standin) -> Triage:
    """Whether too many wait."""
    return Act("too many wait") if found.waiting.count > 800 else Healthy("few wait")


def scale_out(found: Found, site: Standin) -> Verdict:
    """Option 1: more replicas."""
    return Yes("too many wait", ((at_least(site.numbers["orchestration"]),),))


def slow_down(found: Found, site: Standin) -> Verdict:
    """Option 2: fewer publishers."""
    return Yes("still too many wait", ((at_most(site.numbers["publishers"], asks="events are delayed"),),))


def give_back(found: Found, site: Standin, release: Release) -> Keep | GiveBack:
    """When few wait: floors at once, ceilings one by one."""
    waiting = found.waiting.count
    if waiting >= site.restore_below:
        return Keep(f"{waiting:.0f} wait")
    return GiveBack(f"{waiting:.0f} wait", step=1 if release.claim.claim.bound is Bound.AT_MOST else None)


def criteria(site: Standin, raiser: Raiser) -> tuple[Criterion, ...]:
    """Few wait."""
    soon = timedelta(seconds=1)
    ask = Criterion("waiting", "few wait", lambda: site.metrics().ask(QUESTION), Limit("<", 800), soon, soon, soon)
    return (ask,)


HIGH: Runbook[Standin, Found] = Runbook(
    id="high_waiting",
    title="Many wait",
    document="A document",
    section="Many wait",
    alert="ManyWait",
    severity=Severity.WARNING,
    respond_within=timedelta(minutes=15),
    platform=Standin,
    trigger=lambda site: Trigger("more than 800 wait", QUESTION, Limit(">", 800), timedelta(0)),
    evidence=evidence,
    triage=triage,
    options=(scale_out, slow_down),
    criteria=criteria,
    subject=lambda site: SUBJECT,
    ladder=Ladder(
        "A document",
        "Escalation",
        (
            Level(1, "On-call", "", "", ""),
            Level(2, "Lead", "", "", "", timedelta(minutes=30)),
            Level(3, "Management", "", "", ""),
        ),
    ),
    give_back=give_back,
)

CRITICAL: Runbook[Standin, Found] = replace(
    HIGH,
    id="critical_waiting",
    title="Far too many wait",
    alert="FarTooManyWait",
    severity=Severity.CRITICAL,
    respond_within=timedelta(0),
)

RUNBOOKS = {runbook.id: runbook for runbook in (HIGH, CRITICAL)}
