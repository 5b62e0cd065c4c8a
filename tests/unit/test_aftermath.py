"""After a run that failed or died: its incident is picked up once or a person is called once, whoever comes first."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tasks.aftermath import Aftermath, Fate, after_no_beginning, look_after
from tasks.ledger import RunRecord
from tasks.model.escalation import NoticeKind
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Severity
from tests.unit.inline import SITE
from tests.unit.standin import CRITICAL, HIGH, SUBJECT, standin
from tests.unit.watching import MINUTE, Outside, World, starts


def dead(world: World) -> timedelta:
    """After so long without a sign of life a run is taken for dead."""
    return 2 * world.platform.pace.lease + timedelta(seconds=1)


def look(world: World, run: str) -> Aftermath:
    """What the flow does, from the ledger as it is now."""
    return look_after(world.ledger, HIGH, world.site, record(world, run), world.ledger.now())


def record(world: World, run: str) -> RunRecord:
    found = world.ledger.runs.get(run)
    assert found is not None
    return found


def now(world: World, why: Incident) -> Incident:
    found = world.ledger.incidents.get(why.id)
    assert found is not None
    return found


def ends(world: World, run: str, outcome: Outcome = Outcome.NOT_RECOVERED) -> str:
    world.ledger.runs.end(run, outcome, "0 of 1 criteria hold", None)
    return run


# ---- the dead ------------------------------------------------------------------------------------------------------


def test_a_dead_run_s_incident_is_given_to_another_one(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.ledger.locks.acquire(run, HIGH.id, Severity.WARNING, SITE, [SUBJECT], lease=timedelta(hours=1))
    world.later(dead(world))
    assert look(world, run).fate is Fate.PICKED_UP
    assert starts(outside) == [(HIGH.slug, why.id)]
    assert (record(world, run).crashed, now(world, why).pickups, world.ledger.locks.all()) == (True, 1, [])
    assert outside.told == []


def test_a_run_that_may_still_write_is_left_alone(world: World, outside: Outside) -> None:
    """Prefect says that it crashed: a heartbeat that got lost says so too."""
    why = world.raised()
    run = world.run(why)
    world.ledger.locks.acquire(run, HIGH.id, Severity.WARNING, SITE, [SUBJECT], lease=timedelta(hours=1))
    world.later(2 * world.platform.pace.lease)
    assert look(world, run).fate is Fate.NOT_YET
    assert (now(world, why).claimed_by, len(world.ledger.locks.all()), outside) == (run, 1, Outside())


def test_a_run_that_lives_is_left_alone(world: World, outside: Outside) -> None:
    run, began = world.run(world.raised()), world.ledger.now()
    world.later(timedelta(seconds=10))
    world.beats(run)
    world.later(dead(world))
    assert look_after(world.ledger, HIGH, world.site, record(world, run), began).fate is Fate.LIVES
    assert outside == Outside()


@pytest.mark.parametrize("first", ["watch", "flow"])
def test_watch_and_flow_pick_it_up_once(world: World, outside: Outside, first: str) -> None:
    why = world.raised()
    run = world.run(why)
    world.later(dead(world))
    order: list[Callable[[], object]] = [world.look, lambda: look(world, run)]
    for one in order if first == "watch" else reversed(order):
        one()
    assert (starts(outside), now(world, why).pickups, outside.told) == ([(HIGH.slug, why.id)], 1, [])


def test_when_that_one_dies_too_a_person_is_called_once(world: World, outside: Outside) -> None:
    why = world.raised()
    first = world.run(why)
    world.later(dead(world))
    look(world, first)
    second = world.run(why)
    world.later(dead(world))
    assert look(world, second).fate is Fate.CALLED
    assert [look(world, run).fate for run in (second, first, second)] == [
        Fate.CALLED_BEFORE,
        Fate.NOT_NEEDED,
        Fate.CALLED_BEFORE,
    ]
    world.look()
    assert (outside.kinds().count(NoticeKind.CRASHED), len(outside.started)) == (1, 1)


def test_a_call_that_did_not_get_through_is_made_again(world: World, outside: Outside) -> None:
    run = world.run()
    world.later(dead(world))
    outside.deaf = True
    assert look(world, run).fate is Fate.NOT_YET
    outside.deaf = False
    assert look(world, run).fate is Fate.NOT_YET, "whoever called last may still be at it"
    world.later(MINUTE)
    assert look(world, run).fate is Fate.CALLED
    assert outside.kinds() == [NoticeKind.CRASHED]


def test_a_run_that_died_before_it_could_claim_its_incident(world: World, outside: Outside) -> None:
    why = world.raised()
    world.ledger.runs.begin(RunRecord("run-1", HIGH.id, SITE, why.id, HIGH.severity, "act", "1", world.ledger.now()))
    world.later(dead(world))
    assert look(world, "run-1").fate is Fate.PICKED_UP
    assert (starts(outside), outside.told) == ([(HIGH.slug, why.id)], [])


def test_a_run_that_ended_before_it_began_is_replaced_once(world: World, outside: Outside) -> None:
    why = world.raised()
    fates = [after_no_beginning(world.ledger, HIGH, world.site, run, now(world, why)).fate for run in ("one", "two")]
    assert fates == [Fate.PICKED_UP, Fate.CALLED]
    assert (len(outside.started), outside.kinds()) == (1, [NoticeKind.CRASHED])


def test_a_run_that_ended_before_it_began_while_another_one_is_at_work(world: World, outside: Outside) -> None:
    why = world.raised()
    world.run(why)
    assert after_no_beginning(world.ledger, HIGH, world.site, "two", now(world, why)).fate is Fate.NOT_NEEDED
    assert (outside, world.ledger.runs.get("two")) == (Outside(), None)


def test_what_another_run_has_needs_nobody(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run()
    loser = RunRecord("loser", HIGH.id, SITE, why.id, HIGH.severity, "act", "1", world.ledger.now())
    world.ledger.runs.begin(loser)
    assert world.ledger.incidents.claim(why.id, run)
    world.later(dead(world))
    assert look(world, "loser").fate is Fate.NOT_NEEDED
    assert outside == Outside()


def test_what_a_person_has_is_not_started_again(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.ledger.incidents.take(why.id, "ada")
    world.later(dead(world))
    assert look(world, run) == Aftermath(Fate.NOT_NEEDED, "ada has it")
    assert outside.started == {}


def test_a_dead_run_whose_alert_is_over_is_looked_at_by_a_person(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.ledger.incidents.close(why.id, world.ledger.now())
    world.later(dead(world))
    assert look(world, run).fate is Fate.CALLED
    assert outside.started == {}


def test_a_run_that_waits_for_a_person_and_crashed_is_buried(world: World, outside: Outside) -> None:
    """Prefect says so: a run that is suspended is in no such state, so it was woken and died."""
    why = world.raised()
    run = world.run(why)
    world.asks(run, why)
    world.later(dead(world))
    assert look(world, run).fate is Fate.PICKED_UP


def test_a_storm_ends(world: World, outside: Outside) -> None:
    """Every run dies, the ones that are started again too, and each death is told three times over, in any order."""
    order = random.Random(4)  # noqa: S311 - the same in every run of the test
    for number in range(6):
        world.raised(alert=f"Alert{number}")
    why = {incident.id: incident for incident in world.ledger.incidents.still_open()}
    fallen = [world.run(incident) for incident in why.values()]
    for _ in range(3):
        world.later(dead(world))
        finders: list[Callable[[], object]] = [partial(look, world, run) for run in 3 * fallen] + [world.look]
        order.shuffle(finders)
        for find in finders:
            find()
        fallen += [world.run(incident) for id, incident in why.items() if now(world, incident).claimed_by is None]
    assert len(outside.started) == len(why), "one more run for each incident, and then no more"
    assert outside.kinds().count(NoticeKind.CRASHED) == len(why)
    assert {incident.pickups for incident in world.ledger.incidents.still_open()} == {1}


# ---- the gate ------------------------------------------------------------------------------------------------------


def test_a_failed_gate_that_called_nobody_calls(world: World, outside: Outside) -> None:
    why = world.raised()
    run = ends(world, world.run(why))
    assert look(world, run).fate is Fate.CALLED
    (notice,) = outside.told
    assert (notice.kind, notice.summary) == (NoticeKind.GATE_FAILED, "NotRecovered: 0 of 1 criteria hold")
    assert look(world, run).fate is Fate.CALLED_BEFORE
    assert len(outside.told) == 1


def test_a_run_that_died_with_the_turn_to_call(world: World, outside: Outside) -> None:
    """It had the turn and told nobody; after a minute the turn is given again."""
    why = world.raised()
    run = ends(world, world.run(why))
    assert world.ledger.pages.once(why.id, NoticeKind.GATE_FAILED.value, 1, ["webhook (level 1)"])
    assert look(world, run).fate is Fate.NOT_YET
    world.later(MINUTE)
    assert look(world, run).fate is Fate.CALLED


def test_where_nobody_can_be_called_it_is_said(world: World, outside: Outside) -> None:
    world.site = type(world.site)(SITE, standin(contacts=[]))
    run = ends(world, world.run(world.raised()))
    found = look(world, run)
    assert found.fate is Fate.NOBODY_CALLED
    assert "the site has no contacts" in found.text


def test_a_person_who_has_it_is_not_called(world: World, outside: Outside) -> None:
    why = world.raised()
    run = ends(world, world.run(why))
    world.ledger.incidents.take(why.id, "ada")
    assert look(world, run) == Aftermath(Fate.NOT_NEEDED, "ada has it")
    assert outside.told == []


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.state_type != "FAILED"])
def test_what_ended_well_needs_nobody(world: World, outside: Outside, outcome: Outcome) -> None:
    """Its process died after it had written down how it ended."""
    run = ends(world, world.run(world.raised()), outcome)
    assert look(world, run) == Aftermath(Fate.NOT_NEEDED, f"it ended as {outcome}")
    assert outside == Outside()


def test_the_severity_is_that_of_the_run(world: World, outside: Outside) -> None:
    why = world.raised(CRITICAL)
    run = world.run(why, CRITICAL.id)
    found = look_after(world.ledger, CRITICAL, world.site, record(world, ends(world, run)), world.ledger.now())
    assert found.fate is Fate.CALLED
    assert outside.told[0].runbook == CRITICAL.id
