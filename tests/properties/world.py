"""The system under care: numbers with versions, a queue that more capacity drains, and a log of all writes.

It stands in for what lies outside of our code, and behaves as such systems do: it takes a write only with the version
that it has, it may answer late or not at all, and it does not know what a lock of ours is. The log is what the judge
looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tasks.model.change import Conflict, Effect, NotInEffect, Surroundings
from tasks.model.claim import Claim, Levels, settle
from tasks.model.evidence import Reading, number
from tasks.model.knob import Dial
from tasks.model.target import Target
from tasks.systems.metrics import Gauge, MissingMetric, Point, Question
from tests.properties import processes
from tests.properties.processes import Host

SCOPE = "plant"
PODS = Target("deployment", SCOPE, "pods")
POOL = Target("configmap", SCOPE, "pool")
SOURCES = Target("deployment", SCOPE, "sources")
LETTERS = Target("queue", SCOPE, "letters")
ELSEWHERE = Target("deployment", "elsewhere", "pods")

REPLICAS, WORKERS, ROLLOUT, BATCH = "replicas", "workers", "rollout", "batch"
PERSON = "a person"
QUEUE_HOLDS = 2000.0
SENT_IS_SEEN_AFTER = 90.0  # seconds; until then a batch that was sent is still counted as waiting


class Trouble(StrEnum):
    """What goes wrong with one write."""

    LOST_BEFORE = "the connection broke before it arrived"
    LOST_AFTER = "the answer was lost"
    REFUSED = "the target forbids it"


@dataclass
class Thing:
    """One object: its number, its version, who owns it, and who wrote the number last."""

    value: int
    version: int = 1
    owner: str = ""
    by: str = ""

    def touch(self) -> None:
        self.version += 1


@dataclass
class Batch:
    """Dead letters that can be sent again, once. `sent` are the moments at which that was done."""

    number: int
    sent: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Write:
    """One write that the system took. `by` is the id of the flow run, or `PERSON`; `asked` the steady moment at which
    the request left."""

    by: str
    target: Target
    field: str
    before: int
    after: int
    replaced: str  # who had written what was there
    asked: float
    number: int


class World:
    """The system. Every access by a process is a point."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.things = {
            PODS: Thing(2),
            POOL: Thing(10),
            SOURCES: Thing(3),
            LETTERS: Thing(0),
            ELSEWHERE: Thing(2),
        }
        self.first = {target: thing.value for target, thing in self.things.items()}
        self.running_workers = 10  # per pod, as the pods read it when they started
        self.restarted_at: datetime | None = None
        self.inflow, self.queue = 15.0, 0.0  # tasks per second from all sources; tasks
        self.hangs = False  # what the workers depend on: nothing is worked off
        self.batches: list[Batch] = []
        self.target_tells = True  # whether it can be asked if a batch was sent
        self.sick = 0
        self.rollout = ""
        self.budget: int | None = None  # pods that a disruption budget lets go
        self.unreadable: set[str] = set()
        self.not_numbers: set[str] = set()
        self.trouble: Trouble | None = None
        self.by_hand: dict[Target, int] = {}  # what a person set last
        self.log: list[Write] = []
        self.written: list[Callable[[Write], None]] = []  # told of each write by a process
        self.looks: dict[str, tuple[float, dict[str, float]]] = {}  # what each run saw last, and when
        host.passes.append(self.advance)

    # ---- how it behaves ----

    def advance(self, seconds: float) -> None:
        """The queue fills or drains."""
        healthy = max(0, self.things[PODS].value - self.sick)
        grows = self.arriving - (0 if self.hangs else healthy * self.running_workers)
        self.queue = min(QUEUE_HOLDS, max(0.0, self.queue + grows * seconds))

    @property
    def arriving(self) -> float:
        """Tasks that arrive per second."""
        return self.inflow * self.things[SOURCES].value / self.first[SOURCES]

    def now(self) -> dict[str, float]:
        """The truth."""
        steady = self.host.clock.steady
        waiting = [b for b in self.batches if not b.sent or steady - b.sent[0] < SENT_IS_SEEN_AFTER]
        return {"queue": self.queue, "letters": float(len(waiting))}

    def surroundings(self, target: Target, *, rolls_out: bool = False) -> Surroundings:
        """What else is the case. A rollout takes one pod away before its successor is there, if there are others."""
        pods, owner = self.things[PODS].value, self.things[target].owner
        if target != PODS:
            return Surroundings(owner=owner)
        return Surroundings(
            healthy=max(0, pods - self.sick),
            wanted=pods,
            takes_away=int(rolls_out and pods > 1),
            rollout=self.rollout,
            budget=self.budget if rolls_out else None,
            owner=owner,
        )

    # ---- what people do ----

    def set_by_hand(self, target: Target, value: int) -> None:
        """As `kubectl` by a person."""
        thing = self.things[target]
        thing.value, thing.by = value, PERSON
        thing.touch()
        self.by_hand[target] = value

    # ---- what processes do ----

    def read(self, name: str) -> float:
        """A metric."""
        self.host.reach(f"read {name}")
        if name in self.unreadable:
            raise MissingMetric(f"no sample of {name}")
        return float("nan") if name in self.not_numbers else self.now()[name]

    def thing(self, target: Target) -> Thing:
        self.host.reach(f"read {target.name}")
        return self.things[target]

    def write(self, target: Target, field: str, after: int, version: str, carry_out: Callable[[Thing], None]) -> None:
        """A write that arrives, or does not.

        Raises:
            Conflict: the version is not the one that the object has.
            ConnectionError: it may have arrived, or not.
            PermissionError: it was forbidden.
        """
        asked = self.host.clock.steady
        self.host.reach(f"before write {field}")
        process = processes.current()
        assert process is not None
        trouble, self.trouble = self.trouble, None
        if trouble is Trouble.LOST_BEFORE:
            raise ConnectionResetError(trouble)
        if trouble is Trouble.REFUSED:
            raise PermissionError(trouble)
        thing = self.things[target]
        if version != str(thing.version):
            raise Conflict(f"{target} changed between reading and writing")
        write = Write(process.id, target, field, thing.value, after, thing.by, asked, len(self.log))
        for told in self.written:
            told(write)
        self.log.append(write)
        carry_out(thing)
        thing.touch()
        self.host.done += 1
        self.host.reach(f"after write {field}")
        if trouble is Trouble.LOST_AFTER:
            raise ConnectionResetError(trouble)


@dataclass(frozen=True)
class Number:
    """The knob of a number (`tasks.model.knob.Knob`)."""

    world: World
    target: Target
    field: str

    def read(self) -> Dial:
        thing = self.world.thing(self.target)
        return Dial({self.field: thing.value}, str(thing.version), around=self.world.surroundings(self.target))

    def settle(self, baseline: Levels, claims: Iterable[Claim]) -> Levels:
        return {self.field: settle(baseline[self.field], claims)}

    def show(self, levels: Levels) -> str:
        return str(levels[self.field])

    def amounts(self, levels: Levels) -> Mapping[str, int]:
        return levels

    def effect(self, *, lowers: bool) -> Effect:
        return Effect.DISRUPTIVE if lowers and self.target == PODS else Effect.REVERSIBLE

    def write(self, levels: Levels, version: str) -> None:
        def carry_out(thing: Thing) -> None:
            thing.value, thing.by = levels[self.field], _writer()

        self.world.write(self.target, self.field, levels[self.field], version, carry_out)

    def verify(self, levels: Levels, within: timedelta) -> str:
        self.world.host.sleep(5)
        value = self.world.thing(self.target).value
        if value != levels[self.field]:
            raise NotInEffect(f"reads {value}")
        return f"reads {value}"


def _writer() -> str:
    process = processes.current()
    return process.id if process else ""


@dataclass(frozen=True)
class Metrics:
    """Whoever answers questions about metrics."""

    world: World

    def ask(self, question: Question) -> Reading[float]:
        assert isinstance(question, Gauge)
        return Reading(number(self.world.read(question.name)), "the world")

    def history(self, question: Question, since: timedelta) -> list[Point]:
        return []


def looked(world: World, name: str) -> float:
    """What a diagnosis reads; what a run saw last is kept for the judge.

    Raises:
        UnknownReading: it is not a number.
    """
    value = number(world.read(name))
    if process := processes.current():
        _, seen = world.looks.get(process.id, (0.0, {}))
        world.looks[process.id] = (world.host.clock.steady, {**seen, name: value})
    return value
