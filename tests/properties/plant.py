"""A platform and three runbooks on it, small, and with everything that the rules of safety are about.

`queue_high` climbs a ladder: more pods, bigger pools with a restart, fewer sources (asks a person), none at all (below
the floor). `queue_critical` does all at once and is graver; one of its steps asks, and one lies outside the scope.
`letters_lost` makes a change that must not be made twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field, PrivateAttr

from tasks.alerts import alert_resolved
from tasks.claims import Claiming
from tasks.model.change import Change
from tasks.model.claim import Bound, Claim
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, GiveBack, HandOver, Healthy, Keep, No, Step, Triage, Verdict, Yes
from tasks.model.escalation import Ladder, Level
from tasks.model.evidence import Probe, Reading, Unknown
from tasks.model.incident import Raiser
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tasks.platform import Platform
from tasks.runbook import AnyRunbook, Look, Release, Runbook, Trigger
from tasks.systems.metrics import Gauge
from tests.properties.once import Resend, Restart
from tests.properties.world import (
    ELSEWHERE,
    LETTERS,
    PODS,
    POOL,
    REPLICAS,
    SCOPE,
    SOURCES,
    WORKERS,
    Metrics,
    Number,
    World,
    looked,
)

HIGH, CRITICAL = 800, 950
ASKS = "what the sources send is delayed"
FIELDS = {PODS: REPLICAS, POOL: WORKERS, SOURCES: REPLICAS, ELSEWHERE: REPLICAS}


class Plant(Platform):
    """One plant."""

    _block_type_name = "Plant (for tests)"
    _block_type_slug = "plant"
    _world: World = PrivateAttr()

    pods_ceiling: int = Field(12)
    workers_ceiling: int = Field(20)
    sources_floor: int = Field(0)

    @property
    def world(self) -> World:
        return self._world

    def knob(self, target: Target, field: str) -> Number:
        return Number(self.world, target, field)

    def follow_up(self, target: Target, field: str) -> Change | None:
        return Restart(self.world) if target == POOL else None

    def ceilings(self) -> Mapping[str, int]:
        return {REPLICAS: self.pods_ceiling, WORKERS: self.workers_ceiling}

    def floors(self) -> Mapping[str, int]:
        return {SOURCES.name: self.sources_floor}

    def where(self) -> str:
        return "memory"

    def scopes(self) -> frozenset[str]:
        return frozenset({SCOPE})

    def metrics(self) -> Metrics:
        return Metrics(self.world)


@dataclass(frozen=True, slots=True)
class Seen:
    """One number that was read. (Asked of an `Unknown`, `.value` raises.)"""

    value: float


@dataclass(frozen=True, slots=True)
class Batches:
    """The dead letters that wait."""

    waiting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence of all three."""

    queue: Seen | Unknown
    arriving: Seen | Unknown
    pods: Seen | Unknown
    workers: Seen | Unknown
    letters: Batches | Unknown
    read_at: datetime


def evidence(look: Look, plant: Plant) -> Found:
    """Takes the readings."""
    world = plant.world

    def of(target: Target) -> Probe[Seen]:
        return Probe(target.name, lambda: Reading(Seen(world.thing(target).value), "the world"))

    def batches() -> Reading[Batches]:
        count = int(looked(world, "letters"))
        return Reading(Batches(tuple(batch.number for batch in world.batches[-count:] if count)), "the world")

    return Found(
        queue=look(Probe("queue", lambda: Reading(Seen(looked(world, "queue")), "the world"))),
        arriving=look(Probe("arriving", lambda: Reading(Seen(world.arriving), "the world"))),
        pods=look(of(PODS)),
        workers=look(of(POOL)),
        letters=look(Probe("letters", batches)),
        read_at=world.host.clock.now(),
    )


def _claim(plant: Plant, target: Target, bound: Bound, value: int, asks: str = "") -> Claiming:
    return Claiming(plant.knob(target, FIELDS[target]), Claim(bound, value), "once fewer than 500 wait", asks)


def _waiting(found: Found) -> str:
    """Why anything is done at all. Where the queue cannot be read this raises, and nothing is done."""
    return f"{found.queue.value:.0f} wait"


def _pools(found: Found, plant: Plant, workers: int) -> Step:
    return _claim(plant, POOL, Bound.AT_LEAST, workers), Restart(plant.world, found.read_at)


def give_back(found: Found, plant: Plant, release: Release) -> Keep | GiveBack:
    """Once fewer than 500 wait, and what is left carries the load. The sources come back one by one."""
    if found.queue.value >= 500:
        return Keep(f"{found.queue.value:.0f} wait")
    if release.claim.claim.bound is Bound.AT_MOST:
        return GiveBack("few wait", step=1)
    share = sum(release.after.values()) / max(1, sum(release.before.values()))
    left = found.pods.value * found.workers.value * share
    if found.arriving.value > 0.9 * left:
        return Keep(f"what is left works off {left:.0f}/s, {found.arriving.value:.0f}/s arrive")
    return GiveBack("few wait, and what is left carries the load")


def _criteria(plant: Plant, runbook: AnyRunbook, limit: float, raiser: Raiser) -> tuple[Criterion, ...]:
    trigger, pace = runbook.trigger(plant), plant.pace
    below = Criterion(
        "below",
        f"at most {limit:g}",
        lambda: plant.metrics().ask(trigger.question),
        Limit("<=", limit),
        within=timedelta(minutes=3),
        settle=pace.settle,
        stale_after=pace.stale_after,
    )
    return below, alert_resolved("the alert resolves", plant, runbook.alert, trigger, raiser)


LADDER = Ladder(
    "the tests",
    "Escalation",
    (
        Level(1, "on call", "", "", ""),
        Level(2, "lead", "", "", "", after=timedelta(minutes=30)),
    ),
)


# ---- queue_high ----------------------------------------------------------------------------------------------------


def triage_high(found: Found, plant: Plant) -> Triage:
    if found.queue.value > CRITICAL:
        return HandOver("queue_critical", _waiting(found), "graver")
    return Act(_waiting(found)) if found.queue.value > HIGH else Healthy(_waiting(found))


def more_pods(found: Found, plant: Plant) -> Verdict:
    """More pods"""
    if found.pods.value >= 5:
        return No("there are 5 already")
    return Yes(_waiting(found), ((_claim(plant, PODS, Bound.AT_LEAST, 5),),))


def bigger_pools(found: Found, plant: Plant) -> Verdict:
    """Bigger pools, and the restart that makes the pods read their size"""
    if found.workers.value >= 15:
        return No("they are as big already")
    return Yes(_waiting(found), (_pools(found, plant, 15),))


def fewer_sources(found: Found, plant: Plant) -> Verdict:
    """Fewer sources, which asks a person"""
    return Yes(_waiting(found), ((_claim(plant, SOURCES, Bound.AT_MOST, 1, ASKS),),))


def no_pods(found: Found, plant: Plant) -> Verdict:
    """No pods at all: nobody may do that"""
    return Yes(_waiting(found), ((_claim(plant, PODS, Bound.AT_MOST, 0),),))


QUEUE_HIGH: Runbook[Plant, Found] = Runbook(
    id="queue_high",
    title="Queue high",
    document="the tests",
    section="Queue high",
    alert="QueueHigh",
    severity=Severity.WARNING,
    respond_within=timedelta(minutes=15),
    platform=Plant,
    trigger=lambda plant: Trigger("many wait", Gauge("queue", "max"), Limit(">", HIGH), timedelta(0)),
    evidence=evidence,
    triage=triage_high,
    options=(more_pods, bigger_pools, fewer_sources, no_pods),
    criteria=lambda plant, raiser: _criteria(plant, QUEUE_HIGH, HIGH, raiser),
    subject=lambda plant: PODS,
    ladder=LADDER,
    give_back=give_back,
)


# ---- queue_critical ------------------------------------------------------------------------------------------------


def triage_critical(found: Found, plant: Plant) -> Triage:
    return Act(_waiting(found)) if found.queue.value > CRITICAL else Healthy(_waiting(found))


def act_at_once(found: Found, plant: Plant) -> Verdict:
    """Everything at once; fewer sources ask a person, and what lies elsewhere is not touched"""
    return Yes(
        _waiting(found),
        (
            (_claim(plant, PODS, Bound.AT_LEAST, 10),),
            (_claim(plant, SOURCES, Bound.AT_MOST, 0, ASKS),),
            (_claim(plant, ELSEWHERE, Bound.AT_LEAST, 5),),
            _pools(found, plant, 20),
        ),
    )


QUEUE_CRITICAL: Runbook[Plant, Found] = Runbook(
    id="queue_critical",
    title="Queue critical",
    document="the tests",
    section="Queue critical",
    alert="QueueCritical",
    severity=Severity.CRITICAL,
    respond_within=timedelta(0),
    platform=Plant,
    trigger=lambda plant: Trigger("too many wait", Gauge("queue", "max"), Limit(">", CRITICAL), timedelta(0)),
    evidence=evidence,
    triage=triage_critical,
    options=(act_at_once,),
    criteria=lambda plant, raiser: _criteria(plant, QUEUE_CRITICAL, CRITICAL, raiser),
    subject=lambda plant: PODS,
    ladder=LADDER,
    give_back=give_back,
)


# ---- letters_lost --------------------------------------------------------------------------------------------------


def triage_letters(found: Found, plant: Plant) -> Triage:
    waiting = found.letters.waiting
    return Act(f"batches {waiting} wait") if waiting else Healthy("no batch waits")


def send_again(found: Found, plant: Plant) -> Verdict:
    """The batches are sent again"""
    return Yes("they wait", tuple((Resend(plant.world, batch),) for batch in found.letters.waiting))


LETTERS_LOST: Runbook[Plant, Found] = Runbook(
    id="letters_lost",
    title="Letters lost",
    document="the tests",
    section="Letters lost",
    alert="LettersLost",
    severity=Severity.WARNING,
    respond_within=timedelta(minutes=15),
    platform=Plant,
    trigger=lambda plant: Trigger("letters wait", Gauge("letters", "max"), Limit(">", 0), timedelta(0)),
    evidence=evidence,
    triage=triage_letters,
    options=(send_again,),
    criteria=lambda plant, raiser: _criteria(plant, LETTERS_LOST, 0, raiser),
    subject=lambda plant: LETTERS,
    ladder=LADDER,
)

RUNBOOKS: dict[str, AnyRunbook] = {r.id: r for r in (QUEUE_HIGH, QUEUE_CRITICAL, LETTERS_LOST)}


def healthy(runbook: str, seen: Mapping[str, float]) -> bool:
    """Whether there is nothing to do for a runbook, as the judge sees it."""
    match runbook:
        case "queue_high":
            return seen["queue"] <= HIGH
        case "queue_critical":
            return seen["queue"] <= CRITICAL
        case _:
            return seen["letters"] == 0
