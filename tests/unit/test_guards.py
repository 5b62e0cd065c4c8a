"""Every guard refuses for its own reason, for the purposes that it holds for, and when it cannot be judged.

The tables name every guard; `tests/safety` takes each guard out and demands that just its tests here fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks.guards import GUARDS, Asked, Facts, Guard, asks_for, check
from tasks.limits import Allowed, Freeze, Limits
from tasks.model.change import Diff, Effect, Happened, Purpose, Surroundings
from tasks.model.outcome import Severity, Trust
from tasks.model.refusal import Refusal, Refused
from tasks.model.target import Target
from tests.unit.wishes import DRAFT, NOW, OnceWish, PlainFacts
from tests.wishes import Wish

CHANGE, UNDO, RESTORE = Purpose
DIFF = Diff("2", "5", amounts={"replicas": 5}, draft=DRAFT)
LIMITS = Limits.model_validate({})
PLAIN = Wish()
NOTHING_AGAINST = PlainFacts()


@dataclass(frozen=True)
class Scene:
    """One change put before the guards. Everything speaks for it, apart from what is said."""

    change: Wish = PLAIN
    diff: Diff = DIFF
    purpose: Purpose = CHANGE
    planned: str = "5"
    severity: Severity = Severity.WARNING
    trust: Trust = Trust.ACT
    scopes: frozenset[str] = frozenset({"bus"})
    limits: Limits = LIMITS
    floors: Mapping[str, int] = field(default_factory=dict)
    facts: Facts = NOTHING_AGAINST

    def asked(self) -> Asked:
        allowed = Allowed(self.trust, self.scopes, self.limits, {"replicas": 10}, self.floors)
        return Asked(self.change, self.diff, self.purpose, self.planned, "key", self.severity, allowed, self.facts)


def told(**facts: Any) -> Scene:
    """A scene in which these facts are known."""
    return Scene(facts=PlainFacts(**facts))


def around(change: Wish | None = None, **surroundings: Any) -> Scene:
    """A scene in which this is the case around the target."""
    return Scene(change or PLAIN, replace(DIFF, around=Surroundings(**surroundings)))


def limited(**limits: Any) -> Limits:
    return Limits.model_validate(limits)


def freeze(begins: datetime, ends: datetime) -> Limits:
    return limited(freezes=[Freeze(begins=begins, ends=ends, reason="holidays")])


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DISRUPTS = Wish(effect=Effect.DISRUPTIVE)
DESTROYS = Wish(effect=Effect.DESTRUCTIVE)

# The guards in the order in which they are asked. First what each refuses; the first scene stands for all of them
# where one is enough, so it must be of a kind that the guard refuses for every purpose for which it holds.
REFUSES: dict[Refusal, dict[str, Scene]] = {
    Refusal.PAUSED: {"by anybody": told(paused="by alice: deploy")},
    Refusal.TAKEN: {"by a person": told(taken_by="alice")},
    Refusal.SUPERSEDED: {"the lock was lost": told(lost="the lock was lost: another run took it over")},
    Refusal.BUSY: {
        "by the same severity": told(other_holder=("high", Severity.WARNING)),
        "by a graver run": told(other_holder=("critical", Severity.CRITICAL)),
        "by the gravest, for another of them": replace(
            told(other_holder=("other", Severity.CRITICAL)), severity=Severity.CRITICAL
        ),
    },
    Refusal.FROZEN: {
        "now": Scene(limits=freeze(NOW - HOUR, NOW + HOUR)),
        "from this moment on": Scene(limits=freeze(NOW, NOW + HOUR)),
    },
    Refusal.OUTSIDE_SCOPE: {
        "another namespace": Scene(Wish(target=Target("deployment", "kube-system", "orchestration"))),
        "no scope is allowed": Scene(scopes=frozenset()),
        "a scope that begins alike": Scene(Wish(target=Target("deployment", "bus2", "orchestration"))),
    },
    Refusal.OWNED: {
        "by Argo CD": around(owner="Argo CD (bus)"),
        "by one that is not tolerated": replace(around(owner="Flux (bus)"), limits=limited(tolerated_owners=["Helm"])),
    },
    Refusal.OVER_THE_LIMIT: {
        "more replicas than the ceiling": Scene(diff=replace(DIFF, amounts={"replicas": 11})),
        "one more of a group than its share": replace(
            around(group="running tasks", group_size=4), facts=PlainFacts(members_taken=2)
        ),
        "a group of nobody knows how many": around(group="running tasks", group_size=0),
        "one change more than an hour allows": told(changes_since=20),
        "no change at all is allowed": Scene(limits=limited(changes_per_hour=0)),
    },
    Refusal.BELOW_THE_FLOOR: {
        "the last healthy one goes": around(healthy=1, wanted=2, takes_away=1),
        "fewer than the site's floor stay": replace(
            around(healthy=3, wanted=3, takes_away=1), floors={"orchestration": 3}
        ),
        "no replicas": Scene(diff=replace(DIFF, after="0", amounts={"replicas": 0}), planned="0"),
        "fewer replicas than the site's floor": Scene(
            diff=replace(DIFF, after="2", amounts={"replicas": 2}), planned="2", floors={"orchestration": 3}
        ),
        "the last healthy one, though the floor is 0": replace(
            around(healthy=1, wanted=1, takes_away=1), floors={"orchestration": 0}
        ),
    },
    Refusal.TOO_MANY_SICK: {
        "most are": around(DISRUPTS, healthy=1, wanted=3),
        "all are": around(DISRUPTS, healthy=0, wanted=3),
        "more than the site allows": replace(around(DISRUPTS, healthy=3, wanted=4), limits=limited(max_sick_share=0.2)),
    },
    Refusal.ROLLOUT_IN_PROGRESS: {"one is": around(DISRUPTS, rollout="orchestration is in the middle of a rollout")},
    Refusal.DISRUPTION_BUDGET: {
        "none may go": around(healthy=3, wanted=3, takes_away=1, budget=0),
        "fewer may go": around(healthy=5, wanted=5, takes_away=2, budget=1),
    },
    Refusal.COOLING_DOWN: {
        "a minute ago": replace(told(last_done=NOW - MINUTE), change=DISRUPTS),
        "not quite long ago": replace(told(last_done=NOW - 10 * MINUTE + timedelta(seconds=1)), change=DISRUPTS),
    },
    Refusal.EFFECT_UNKNOWN: {
        "nobody knows": replace(told(done_before=NOW - MINUTE), change=OnceWish(happened_says=Happened.UNKNOWN)),
        "it did arrive": replace(told(done_before=NOW - MINUTE), change=OnceWish(happened_says=Happened.YES)),
    },
    Refusal.NOT_OURS: {"somebody else wrote it": replace(told(written=False), purpose=UNDO)},
    Refusal.STALE_PLAN: {"it would do something else": Scene(planned="4")},
    Refusal.NOT_APPROVED: {
        "the site asks": Scene(trust=Trust.APPROVE),
        "the site only plans": Scene(trust=Trust.PLAN),
        "the site only observes": Scene(trust=Trust.OBSERVE),
        "the change asks": Scene(Wish(asks="events are delayed")),
        "it is destructive": Scene(DESTROYS),
    },
}

# And what is just not refused.
PASSES: dict[Refusal, dict[str, Scene]] = {
    Refusal.BUSY: {"a lesser run has it": told(other_holder=("restore", Severity.INFO))},
    Refusal.FROZEN: {
        "it is over": Scene(limits=freeze(NOW - HOUR, NOW)),
        "it comes later": Scene(limits=freeze(NOW + MINUTE, NOW + HOUR)),
    },
    Refusal.OWNED: {
        "by a tolerated one": replace(around(owner="Helm (bus)"), limits=limited(tolerated_owners=["Helm"]))
    },
    Refusal.OVER_THE_LIMIT: {
        "as many replicas as the ceiling": Scene(diff=replace(DIFF, amounts={"replicas": 10})),
        "a number that the site does not limit": Scene(diff=replace(DIFF, amounts={"shards": 1000})),
        "just the share of a group": replace(
            around(group="running tasks", group_size=4), facts=PlainFacts(members_taken=1)
        ),
        "the last change of the hour": told(changes_since=19),
    },
    Refusal.BELOW_THE_FLOOR: {
        "as many stay as must": replace(around(healthy=4, wanted=4, takes_away=1), floors={"orchestration": 3}),
        "one stays": around(healthy=2, wanted=2, takes_away=1),
        "no replicas, where the site says so": Scene(
            diff=replace(DIFF, after="0", amounts={"replicas": 0}), planned="0", floors={"orchestration": 0}
        ),
        "given back to what was fewer already": Scene(
            diff=replace(DIFF, after="0", amounts={"replicas": 0}), planned="0", purpose=RESTORE
        ),
    },
    Refusal.TOO_MANY_SICK: {
        "half of them": around(DISRUPTS, healthy=2, wanted=4),
        "most, but nothing is disrupted": around(healthy=1, wanted=3),
        "none are wanted": around(DISRUPTS, healthy=0, wanted=0),
    },
    Refusal.ROLLOUT_IN_PROGRESS: {"one is, but nothing is disrupted": around(rollout="in the middle of a rollout")},
    Refusal.DISRUPTION_BUDGET: {
        "as many go as may": around(healthy=5, wanted=5, takes_away=1, budget=1),
        "nobody set one": around(healthy=5, wanted=5, takes_away=1),
        "none may go, and none goes": around(healthy=5, wanted=5, budget=0),
    },
    Refusal.COOLING_DOWN: {
        "long ago": replace(told(last_done=NOW - 10 * MINUTE), change=DISRUPTS),
        "a minute ago, but nothing is disrupted": told(last_done=NOW - MINUTE),
    },
    Refusal.EFFECT_UNKNOWN: {
        "it clearly did not arrive": replace(
            told(done_before=NOW - MINUTE), change=OnceWish(happened_says=Happened.NO)
        ),
        "it was never attempted": Scene(OnceWish(happened_says=Happened.UNKNOWN)),
        "it states a desired state": told(done_before=NOW - MINUTE),
    },
    Refusal.NOT_OURS: {"what follows the giving back writes no number": Scene(diff=Diff("2", "5"), purpose=RESTORE)},
    Refusal.NOT_APPROVED: {
        "approved, where the site asks": Scene(trust=Trust.APPROVE, facts=PlainFacts(approved=True)),
        "approved, where the change asks": Scene(Wish(asks="delays"), facts=PlainFacts(approved=True)),
        "approved, and destructive": Scene(DESTROYS, facts=PlainFacts(approved=True)),
        "disruptive, where the site trusts": Scene(DISRUPTS),
    },
}

ALWAYS, ONLY_CHANGE, ONLY_BACK = {CHANGE, UNDO, RESTORE}, {CHANGE}, {UNDO, RESTORE}

# Pause stops all three; cooldown and limits never hold up a restore (DESIGN.md, "Doing no harm").
HOLDS: dict[Refusal, set[Purpose]] = {
    Refusal.PAUSED: ALWAYS,
    Refusal.TAKEN: ALWAYS,
    Refusal.SUPERSEDED: ALWAYS,
    Refusal.BUSY: ALWAYS,
    Refusal.FROZEN: ONLY_CHANGE,
    Refusal.OUTSIDE_SCOPE: ALWAYS,
    Refusal.OWNED: ONLY_CHANGE,
    Refusal.OVER_THE_LIMIT: ONLY_CHANGE,
    Refusal.BELOW_THE_FLOOR: ALWAYS,
    Refusal.TOO_MANY_SICK: ALWAYS,
    Refusal.ROLLOUT_IN_PROGRESS: ALWAYS,
    Refusal.DISRUPTION_BUDGET: ALWAYS,
    Refusal.COOLING_DOWN: ONLY_CHANGE,
    Refusal.EFFECT_UNKNOWN: ALWAYS,
    Refusal.NOT_OURS: ONLY_BACK,
    Refusal.STALE_PLAN: ALWAYS,
    Refusal.NOT_APPROVED: ONLY_CHANGE,
}

GONE = ConnectionError("the database is gone")

# Where a guard asks for facts, one that cannot be had refuses. The others judge by the diff alone, and what cannot be
# read there never becomes a diff.
BLIND: dict[Refusal, dict[str, Scene]] = {
    Refusal.PAUSED: {"the switch": told(paused=GONE)},
    Refusal.TAKEN: {"the incident": told(taken_by=GONE)},
    Refusal.SUPERSEDED: {"the locks": told(lost=GONE)},
    Refusal.BUSY: {"the locks": told(other_holder=GONE)},
    Refusal.FROZEN: {"the time": replace(told(now=GONE), limits=freeze(NOW - HOUR, NOW + HOUR))},
    Refusal.OVER_THE_LIMIT: {
        "the changes of the hour": told(changes_since=GONE),
        "the members that were taken": replace(
            around(group="running tasks", group_size=9), facts=PlainFacts(members_taken=GONE)
        ),
    },
    Refusal.COOLING_DOWN: {"the last time": replace(told(last_done=GONE), change=DISRUPTS)},
    Refusal.EFFECT_UNKNOWN: {
        "the earlier attempts": replace(told(done_before=GONE), change=OnceWish()),
        "the target": replace(told(done_before=NOW), change=OnceWish(happened_says=GONE)),
    },
    Refusal.NOT_OURS: {"what we wrote": replace(told(written=GONE), purpose=UNDO)},
    Refusal.NOT_APPROVED: {"the approvals": Scene(trust=Trust.APPROVE, facts=PlainFacts(approved=GONE))},
}


def rows(table: Mapping[Refusal, Mapping[str, Scene]]) -> list[Any]:
    return [
        pytest.param(refusal, scene, id=f"{refusal}-{what}")
        for refusal, scenes in table.items()
        for what, scene in scenes.items()
    ]


@pytest.mark.parametrize(("refusal", "scene"), rows(REFUSES))
def test_refuses(refusal: Refusal, scene: Scene) -> None:
    with pytest.raises(Refused) as no:
        check(scene.asked())
    assert no.value.refusal is refusal
    assert no.value.detail, "says what it saw"


@pytest.mark.parametrize(("refusal", "scene"), rows(PASSES))
def test_lets_pass(refusal: Refusal, scene: Scene) -> None:
    check(scene.asked())


@pytest.mark.parametrize(
    ("refusal", "purpose"),
    [pytest.param(r, purpose, id=f"{r}-{purpose}") for r in REFUSES for purpose in Purpose],
)
def test_holds_for(refusal: Refusal, purpose: Purpose) -> None:
    scene = replace(next(iter(REFUSES[refusal].values())), purpose=purpose)
    if purpose not in HOLDS[refusal]:
        check(scene.asked())
        return
    with pytest.raises(Refused) as no:
        check(scene.asked())
    assert no.value.refusal is refusal


@pytest.mark.parametrize(("refusal", "scene"), rows(BLIND))
def test_refuses_what_it_cannot_judge(refusal: Refusal, scene: Scene) -> None:
    with pytest.raises(Refused) as no:
        check(scene.asked())
    assert no.value.refusal is Refusal.CANNOT_BE_JUDGED
    assert no.value.detail == f"{refusal}: the database is gone"


def test_nothing_stands_against_the_plain_change() -> None:
    for purpose in Purpose:
        check(Scene(purpose=purpose).asked())


def test_the_first_refusal_is_told_and_nobody_is_asked_to_approve_what_another_guard_refuses() -> None:
    everything = Scene(
        Wish(target=Target("deployment", "elsewhere", "x"), asks="delays"),
        trust=Trust.APPROVE,
        facts=PlainFacts(paused="by alice", taken_by="bob"),
    )
    with pytest.raises(Refused, match="paused: by alice"):
        check(everything.asked())
    with pytest.raises(Refused, match="outside scope"):
        check(replace(everything, facts=PlainFacts()).asked())
    assert GUARDS[-1].refusal is Refusal.NOT_APPROVED


def test_a_guard_that_breaks_refuses() -> None:
    def working_hours(asked: Asked) -> str:
        raise TimeoutError("the calendar does not answer")

    broken = Guard(Refusal.FROZEN, frozenset({CHANGE}), working_hours)
    with pytest.raises(Refused) as no:
        check(Scene().asked(), [broken])
    assert no.value.refusal is Refusal.CANNOT_BE_JUDGED
    assert no.value.detail == "frozen: the calendar does not answer"
    check(Scene(purpose=UNDO).asked(), [broken])


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_has_one_sentence(refusal: Refusal) -> None:
    assert refusal.sentence.endswith(".")


# why a person is asked, by change and trust
ASKS: list[tuple[Wish, Trust, str]] = [
    (Wish(), Trust.ACT, ""),
    (Wish(), Trust.APPROVE, "this site trusts the runbook to approve"),
    (Wish(effect=Effect.DISRUPTIVE), Trust.ACT, ""),
    (DESTROYS, Trust.ACT, "the change is destructive"),
    (Wish(asks="events are delayed"), Trust.ACT, "events are delayed"),
    (Wish(asks="events are delayed"), Trust.APPROVE, "events are delayed"),
]


@pytest.mark.parametrize(("change", "trust", "why"), ASKS)
def test_why_a_person_is_asked(change: Wish, trust: Trust, why: str) -> None:
    assert asks_for(change, trust) == why
