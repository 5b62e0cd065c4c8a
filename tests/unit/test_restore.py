"""Restore: claims are kept while they are needed, given back step by step, and left where a person changed them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.incidents.restore import outcome
from tasks import failpoint
from tasks.ledger import ClaimState
from tasks.mitigate import mitigate
from tasks.model.change import Effect, Happened, PreconditionFailed
from tasks.model.decision import Weighed, Yes
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Severity
from tasks.model.target import Target
from tasks.restore import Fate, Group, Told, groups, report, restore_group, still_going_on
from tasks.runbook import AnyRunbook
from tasks.sites import Site
from tests.unit.inline import SITE, begin, incident, inline_case, inline_restores
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import (
    CRITICAL,
    HIGH,
    RUNBOOKS,
    SUBJECT,
    End,
    Job,
    Number,
    Standin,
    at_least,
    at_most,
    fails,
    standin,
)

FEW, MANY = 100, 900


class Given:
    """A site at which runs have changed something, and restores of it."""

    def __init__(self, environment: pytest.MonkeyPatch, platform: Standin) -> None:
        self.environment, self.platform = environment, platform
        self.site = Site(SITE, platform)
        self.ledger = fresh_ledger()
        self.orchestration, self.publishers = Number(2), Number(3)
        platform.numbers.update(orchestration=self.orchestration, publishers=self.publishers)
        platform.answers.value = FEW

    def done(self, runbook: AnyRunbook, run: str, *changes: Any, why: Incident | None = None) -> None:
        """A run that made these changes and has ended."""
        case = inline_case(
            self.environment, runbook=runbook, platform=self.platform, ledger=self.ledger, run=run, incident=why
        )
        mitigate(case, Weighed("an option", "an option", Yes("needed", tuple((change,) for change in changes))))
        case.let_go()
        self.ledger.runs.end(run, Outcome.RECOVERED, "", None)

    def groups(self) -> list[Group]:
        return groups(self.ledger, RUNBOOKS, SITE)

    def restore(self, *, force: bool = False, run: str = "restore-1") -> list[Told]:
        """One restore of everything, as the flow does it."""
        inline_restores(self.environment)
        begin(self.ledger, run)
        told = [
            line for group in self.groups() for line in restore_group(self.ledger, run, self.site, group, force=force)
        ]
        self.ledger.runs.end(run, Outcome.GIVEN_BACK, "", None)
        return told

    def states(self) -> list[tuple[str, ClaimState]]:
        found = [claim for run in self.ledger.runs.latest() for claim in self.ledger.claims.of_run(run.id)]
        return [(str(claim.claim), claim.state) for claim in sorted(found, key=lambda claim: claim.id)]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    found = Given(monkeypatch, standin())
    yield found
    found.ledger.close()


def fates(told: list[Told]) -> list[Fate]:
    return [line.fate for line in told]


# ---- which claims --------------------------------------------------------------------------------------------------


def test_claims_are_grouped_by_runbook_and_incident(given: Given) -> None:
    one, other = incident(), incident(CRITICAL)
    given.done(HIGH, "run-1", at_least(given.orchestration, 5), at_most(given.publishers, 2), why=one)
    given.done(CRITICAL, "run-2", at_least(given.orchestration, 10), why=other)
    given.done(HIGH, "run-3", at_least(given.orchestration, 11))
    found = {
        (group.runbook.id, group.incident): [str(claim.claim) for claim in group.claims] for group in given.groups()
    }
    assert found == {
        (HIGH.id, one.id): ["at least 5", "at most 2"],
        (CRITICAL.id, other.id): ["at least 10"],
        (HIGH.id, None): ["at least 11"],
    }


def test_claims_of_a_run_that_is_still_at_work_are_not_looked_at(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    case = inline_case(monkeypatch, platform=given.platform, ledger=given.ledger)
    mitigate(case, Weighed("an option", "", Yes("needed", ((at_least(given.orchestration),),))))
    assert given.groups() == []
    given.ledger.runs.crashed("run-1")
    assert len(given.groups()) == 1, "also when it ended without a word"


def test_claims_are_kept_while_an_incident_about_the_same_is_open(given: Given) -> None:
    why = incident()
    given.done(HIGH, "run-1", at_least(given.orchestration), why=why)
    (group,) = given.groups()

    def kept() -> str:
        return still_going_on(given.ledger, RUNBOOKS, given.site, group)

    assert kept() == f"ManyWait is still on ({why.id[:8]})"
    given.ledger.incidents.close(why.id, given.ledger.now())
    assert kept() == ""
    graver, _ = given.ledger.incidents.open(incident(CRITICAL))
    assert kept() == f"FarTooManyWait is still on ({graver.id[:8]})", "it treats the same thing"
    given.ledger.incidents.close(graver.id, given.ledger.now())
    given.ledger.incidents.open(incident(CRITICAL, site="staging"))
    assert kept() == "", "another site"


# ---- when ----------------------------------------------------------------------------------------------------------


def test_what_is_not_needed_any_more_is_given_back(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    (line,) = given.restore()
    assert (line.fate, line.what) == (Fate.GIVEN_BACK, "replicas of deployment bus/orchestration, at least 5")
    assert "5 -> 2" in line.why
    assert given.orchestration.writes == [5, 2]
    assert given.states() == [("at least 5", ClaimState.RELEASED)]
    assert given.ledger.locks.all() == []


def test_what_is_still_needed_is_kept(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.platform.answers.value = MANY
    assert given.restore() == [Told(Fate.KEPT, "replicas of deployment bus/orchestration, at least 5", "900 wait")]
    assert (given.orchestration.writes, given.states()) == ([5], [("at least 5", ClaimState.OPEN)])


def test_what_cannot_be_told_is_kept(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.platform.answers.value = PermissionError("the metrics may not be read")
    (line,) = given.restore()
    assert (line.fate, line.why) == (
        Fate.KEPT,
        "cannot tell whether it is still needed: the metrics may not be read",
    )
    assert given.orchestration.writes == [5]


def test_a_person_may_ask_without_a_condition(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.platform.answers.value = MANY
    assert fates(given.restore(force=True)) == [Fate.GIVEN_BACK]
    assert given.orchestration.value == 2


def test_guards_are_asked_whoever_asks(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.ledger.pauses.pause("", "deploy", "alice")
    (line,) = given.restore(force=True)
    assert line.fate is Fate.NOT_DONE
    assert "paused: by alice" in line.why
    assert given.orchestration.writes == [5]


# ---- how -----------------------------------------------------------------------------------------------------------


def test_a_ceiling_is_raised_step_by_step_up_to_the_baseline(given: Given) -> None:
    given.publishers.set(6)
    given.done(HIGH, "run-1", at_most(given.publishers, 2))
    told = given.restore()
    assert given.publishers.writes == [2, 3, 4, 5, 6]
    assert (fates(told), given.states()) == ([Fate.GIVEN_BACK], [("at most 5", ClaimState.RELEASED)])


def test_a_step_is_taken_after_a_look_of_its_own(given: Given) -> None:
    given.publishers.set(6)
    given.done(HIGH, "run-1", at_most(given.publishers, 2))

    def too_early(number: Number) -> None:
        given.platform.answers.value = MANY

    given.publishers.after_write = [lambda number: None, too_early]
    told = given.restore()
    assert given.publishers.writes == [2, 3, 4]
    assert (fates(told), given.states()) == ([Fate.KEPT], [("at most 4", ClaimState.OPEN)])
    given.platform.answers.value = FEW
    given.restore(run="restore-2")
    assert given.publishers.value == 6


# high 2 -> 5, then critical 5 -> 10, given back in either order: 2 in the end, and never 5 for ever (DESIGN.md)
@pytest.mark.parametrize("order", [(HIGH, CRITICAL), (CRITICAL, HIGH)], ids=["high first", "critical first"])
def test_claims_may_be_given_back_in_any_order(given: Given, order: tuple[AnyRunbook, AnyRunbook]) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration, 5))
    given.done(CRITICAL, "run-2", at_least(given.orchestration, 10))
    by_runbook = {group.runbook.id: group for group in given.groups()}
    given.environment.setattr(Given, "groups", lambda self: [by_runbook[order[0].id]])
    given.restore(run="restore-1")
    assert given.orchestration.value == (10 if order[0] is HIGH else 5)
    given.environment.setattr(Given, "groups", lambda self: [by_runbook[order[1].id]])
    given.restore(run="restore-2")
    assert given.orchestration.value == 2
    assert given.ledger.claims.holdings() == []


def test_what_a_person_changed_in_between_is_left_to_them(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration, 5))
    given.done(CRITICAL, "run-2", at_least(given.orchestration, 10))
    given.orchestration.set(7)
    told = given.restore()
    assert (given.orchestration.value, given.orchestration.writes) == (7, [5, 10])
    assert given.states() == [("at least 5", ClaimState.LEFT), ("at least 10", ClaimState.LEFT)]
    assert Fate.NOT_DONE in fates(told)
    assert given.restore(run="restore-2") == [], "and not looked at again"


def test_what_disturbs_somebody_waits_for_a_better_moment(given: Given) -> None:
    """A release that replaces or ends pods is held against their number, budget and rollouts like any change."""
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.orchestration.lowering = Effect.DISRUPTIVE
    given.orchestration.on_read = [fails(PreconditionFailed("a rollout of orchestration is paused"))]
    (line,) = given.restore()
    assert (line.fate, given.orchestration.writes) == (Fate.NOT_DONE, [5])
    assert "precondition: a rollout of orchestration is paused" in line.why
    assert fates(given.restore(run="restore-2")) == [Fate.GIVEN_BACK]


def test_one_that_cannot_be_given_back_keeps_no_other_from_it(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration), at_most(given.publishers, 2))
    given.orchestration.on_read = [fails(PermissionError("may not be read"))] * 2
    told = given.restore()
    assert (given.orchestration.value, given.publishers.value) == (5, 3)
    assert fates(told) == [Fate.NOT_DONE, Fate.GIVEN_BACK]


def test_a_number_that_the_platform_does_not_know_any_more_is_said_and_keeps_no_other(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration), at_most(given.publishers, 2))
    del given.platform.numbers["orchestration"]
    told = given.restore()
    assert fates(told) == [Fate.NOT_DONE, Fate.GIVEN_BACK]
    assert told[0].why == "replicas of deployment bus/orchestration is nothing that this platform turns"


# ---- others --------------------------------------------------------------------------------------------------------


def test_a_restore_waits_for_a_run_that_has_the_target(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    given.ledger.locks.acquire("run-2", HIGH.id, Severity.WARNING, SITE, [SUBJECT])
    told = given.restore()
    assert (fates(told), given.orchestration.writes) == ([Fate.KEPT], [5])
    assert "busy" in told[0].why


def test_any_runbook_takes_the_target_from_a_restore(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))

    def begins(number: Number) -> None:
        given.ledger.locks.acquire("run-2", HIGH.id, Severity.WARNING, SITE, [SUBJECT, target])

    target = Target("deployment", "bus", "orchestration")
    given.orchestration.on_read = [begins]
    (line,) = given.restore()
    assert (line.fate, given.orchestration.writes) == (Fate.NOT_DONE, [5])
    assert "superseded" in line.why


# ---- what follows --------------------------------------------------------------------------------------------------


def test_what_makes_a_field_take_effect_follows(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration))
    restart = Job()
    given.platform.follows.append(End(restart, "pods"))
    (line,) = given.restore()
    assert (line.fate, restart.ended) == (Fate.GIVEN_BACK, 1)
    assert "job bus/pods, run: running -> ended" in line.why


def test_what_follows_is_not_done_twice_when_its_answer_gets_lost(given: Given) -> None:
    given.done(HIGH, "run-1", at_least(given.orchestration), why=incident())
    restart = Job(tells=Happened.UNKNOWN, after_write=[ConnectionResetError("the answer was lost")])
    given.platform.follows.append(End(restart, "pods"))
    given.restore()
    assert restart.ended == 1


# ---- killed in between ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As `kill -9`: nobody handles it."""


POINTS = ("before intend", "intended", "applied", "settled", "verified")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_restore_that_was_killed_is_taken_up_by_the_next_one(given: Given, point: str, nth: int) -> None:
    given.publishers.set(4)
    given.done(HIGH, "run-1", at_most(given.publishers, 2))
    reached: list[str] = []

    def kill(name: str) -> None:
        reached.append(name)
        if reached.count(point) == nth:
            raise Killed

    given.environment.setattr(failpoint, "reach", kill)
    with pytest.raises(Killed):
        given.restore()
    given.environment.setattr(failpoint, "reach", lambda name: None)
    given.ledger.locks.release("restore-1")  # its lease runs out
    given.restore(run="restore-2")
    assert given.publishers.writes == [2, 3, 4], "each step once"
    assert given.ledger.claims.holdings() == []


# ---- how a restore ends --------------------------------------------------------------------------------------------

ENDS: list[tuple[list[Fate], Outcome]] = [
    ([], Outcome.GIVEN_BACK),
    ([Fate.GIVEN_BACK], Outcome.GIVEN_BACK),
    ([Fate.GIVEN_BACK, Fate.KEPT], Outcome.STILL_NEEDED),
    ([Fate.RELAXED], Outcome.STILL_NEEDED),
    ([Fate.GIVEN_BACK, Fate.NOT_DONE, Fate.KEPT], Outcome.NOT_GIVEN_BACK),
]


@pytest.mark.parametrize(("each", "ends"), ENDS)
def test_how_a_restore_ends(each: list[Fate], ends: Outcome) -> None:
    assert outcome([Told(fate, "x", "") for fate in each]) is ends


# ---- the report ----------------------------------------------------------------------------------------------------


def test_the_report_says_what_became_of_each_claim() -> None:
    text = report("prod", [Told(Fate.KEPT, "replicas of *x*", "900 wait")])
    assert text == "# Restore at prod\n\n- **kept** replicas of \\*x\\*: 900 wait\n"
    assert "Nothing is left to give back." in report("prod", [])
