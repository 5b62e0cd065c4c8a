"""The watch and incidents: people are called when their time has come, and none is left without a run."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from deployments.intake.health import LOST_AFTER_SECONDS
from deployments.intake.watch import CRITICAL_UNCLAIMED_FOR, REPLACED_AFTER
from tasks import contacts
from tasks.incidents import UNCLAIMED_FOR
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.outcome import Outcome, Severity
from tests.unit.clocks import Steady
from tests.unit.inline import SITE
from tests.unit.standin import CRITICAL, HIGH, SUBJECT
from tests.unit.watching import MINUTE, Notifier, Outside, World, starts

# ---- response times --------------------------------------------------------------------------------------------------


def test_a_response_time_that_ran_out_calls_once(world: World, outside: Outside) -> None:
    world.run(world.raised())
    world.look()
    assert outside.told == []
    world.later(15 * MINUTE)
    for _ in range(3):
        world.look()
    assert outside.kinds().count(NoticeKind.RESPONSE_DUE) == 1


def test_an_immediate_response_calls_at_once(world: World, outside: Outside) -> None:
    world.raised(CRITICAL)
    world.look()
    assert outside.kinds() == [NoticeKind.RESPONSE_DUE]


def test_who_was_called_is_told_that_a_person_has_it_and_that_it_is_over(world: World, outside: Outside) -> None:
    why = world.raised(CRITICAL)
    world.look()
    world.ledger.incidents.take(why.id, "alice")
    world.look()
    world.ledger.incidents.close(why.id, world.ledger.now())
    world.look()
    assert outside.kinds() == [NoticeKind.RESPONSE_DUE, NoticeKind.TAKEN, NoticeKind.RESOLVED]


def test_a_round_that_calls_many_slowly_goes_on(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels that take their time to fail are no reason to start the intake again."""
    steady = Steady(monkeypatch)
    (watch, _), ages = world.watches, []
    for number in range(9):
        world.raised(CRITICAL, alert=f"Alert{number}")

    class Slow(Notifier):
        def send(self, notice: Notice) -> str:
            ages.append(time.monotonic() - watch.went_on_at["people"])
            steady.forward(10)
            raise TimeoutError

    monkeypatch.setattr(contacts.Channel, "notifier", lambda channel: Slow(channel.name, outside))
    watch.look_for_people()
    assert len(ages) == 9
    assert max(ages) < LOST_AFTER_SECONDS


def test_an_incident_of_an_unknown_runbook_or_site_is_nobody_s(world: World, outside: Outside) -> None:
    world.raised(replace(CRITICAL, id="gone"))
    world.raised(CRITICAL, site="elsewhere")
    world.later(2 * UNCLAIMED_FOR)
    world.look()
    assert (outside.told, outside.started) == ([], {})


# ---- incidents without a run -----------------------------------------------------------------------------------------


def test_an_event_that_got_lost_is_made_up_for_once(world: World, outside: Outside) -> None:
    why = world.raised()
    world.ledger.incidents.announced(why.id, world.ledger.now())
    world.later(UNCLAIMED_FOR - timedelta(seconds=1))
    world.look()
    assert outside.started == {}
    world.later(timedelta(seconds=2))
    world.look()
    world.look()
    assert list(outside.started.values()) == [(HIGH.slug, {"site": SITE, "incident": why.id})]


def test_a_critical_one_does_not_wait_behind_the_runs_of_a_storm(world: World, outside: Outside) -> None:
    """Prefect's automations start one run after the other; what is asked for directly comes between them."""
    ordinary, critical = world.raised(), world.raised(CRITICAL)
    world.later(CRITICAL_UNCLAIMED_FOR - timedelta(seconds=1))
    world.look()
    assert starts(outside) == []
    world.later(timedelta(seconds=2))
    world.look()
    assert starts(outside) == [(CRITICAL.slug, critical.id)]
    world.later(UNCLAIMED_FOR)
    world.look()
    assert starts(outside) == [(CRITICAL.slug, critical.id), (HIGH.slug, ordinary.id)]


def test_a_run_that_never_claimed_its_incident_is_replaced(world: World, outside: Outside) -> None:
    world.raised()
    world.later(2 * UNCLAIMED_FOR)
    world.look()
    world.later(REPLACED_AFTER)
    world.look()
    assert len(outside.started) == 2


def test_a_run_that_waits_for_a_worker_is_joined_by_no_second(world: World, outside: Outside) -> None:
    """In a storm they wait for minutes. Ended without having claimed its incident, it is replaced at once."""
    why = world.raised()
    outside.coming.add(why.id)
    world.later(2 * REPLACED_AFTER)
    world.look()
    assert outside.started == {}
    outside.coming.clear()
    world.look()
    assert len(outside.started) == 1


@pytest.mark.parametrize("who", ["a run", "a person", "nobody, it is over"])
def test_what_somebody_has_is_not_started(world: World, outside: Outside, who: str) -> None:
    why = world.raised()
    match who:
        case "a run":
            world.beats(world.run(why))
        case "a person":
            world.ledger.incidents.take(why.id, "alice")
        case _:
            world.ledger.incidents.close(why.id, world.ledger.now())
    world.later(UNCLAIMED_FOR + timedelta(seconds=1))
    for run in world.ledger.runs.latest():
        world.beats(run.id)
    world.look()
    assert outside.started == {}


def test_one_that_cannot_be_started_keeps_no_other_from_it(world: World, outside: Outside) -> None:
    """A runbook that was not deployed, say."""
    outside.missing.add(HIGH.slug)
    world.raised(HIGH)
    other = world.raised(CRITICAL)
    world.later(2 * UNCLAIMED_FOR)
    world.look()
    assert starts(outside) == [(CRITICAL.slug, other.id)]


# ---- incidents that were left to others ------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.STEPPED_ASIDE, Outcome.NOTHING_TO_DO])
def test_what_was_left_to_another_and_is_still_on_is_taken_up_once(
    world: World, outside: Outside, outcome: Outcome
) -> None:
    why = world.raised()
    run = world.run(why)
    world.ledger.runs.end(run, outcome, "", None)
    world.look()
    assert outside.started == {}
    world.later(timedelta(seconds=world.platform.pace.look_back_seconds))
    world.look()
    world.look()
    assert len(outside.started) == 1
    found = world.ledger.incidents.get(why.id)
    assert found is not None
    assert found.claimed_by is None


@pytest.mark.parametrize("outcome", [Outcome.NOT_RECOVERED, Outcome.REFUSED, Outcome.PLANNED, Outcome.OBSERVED])
def test_what_a_run_could_not_mend_is_not_started_again(world: World, outside: Outside, outcome: Outcome) -> None:
    """A person was called; the same run would do the same."""
    run = world.run(world.raised())
    world.ledger.runs.end(run, outcome, "", None)
    world.later(timedelta(hours=1))
    world.look()
    assert outside.started == {}


def test_nobody_is_joined_while_somebody_is_at_work(world: World, outside: Outside) -> None:
    run = world.run(world.raised())
    world.ledger.runs.end(run, Outcome.STEPPED_ASIDE, "", None)
    world.later(timedelta(seconds=world.platform.pace.look_back_seconds))
    world.ledger.locks.acquire("run-2", CRITICAL.id, Severity.CRITICAL, SITE, [SUBJECT])
    world.look()
    assert outside.started == {}
