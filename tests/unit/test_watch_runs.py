"""The watch and runs: the dead are found, those that wait are woken, and what they changed is given back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployments.intake import watch as module
from deployments.intake.giving_back import BEGINS_WITHIN
from deployments.intake.watch import REPLACED_AFTER
from flows.incidents.restore import AT_ONCE
from tasks.approval import Choice
from tasks.ledger import Answer, Approval, ClaimState
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.outcome import Outcome, Severity
from tasks.sites import Site
from tests.unit.inline import SITE
from tests.unit.standin import HIGH, SUBJECT
from tests.unit.watching import MINUTE, Notifier, Outside, World

# ---- the dead --------------------------------------------------------------------------------------------------------


def dead(world: World) -> timedelta:
    """After so long without a sign of life a run is taken for dead."""
    return 2 * world.platform.pace.lease + timedelta(seconds=1)


def test_a_dead_run_s_incident_is_given_to_another_one_at_once_and_only_once(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.ledger.locks.acquire(run, HIGH.id, Severity.WARNING, SITE, [SUBJECT], lease=timedelta(hours=1))
    world.later(dead(world))
    world.look()
    world.look()
    record, now = world.ledger.runs.get(run), world.ledger.incidents.get(why.id)
    assert record is not None
    assert now is not None
    assert (record.crashed, now.claimed_by, now.pickups) == (True, None, 1)
    assert (outside.crashed, len(outside.started), outside.told) == ([run], 1, [])
    assert world.ledger.locks.all() == []


def test_when_that_one_dies_too_a_person_is_called_once(world: World, outside: Outside) -> None:
    why = world.raised()
    world.run(why)
    world.later(dead(world))
    world.look()
    second = world.run(why)
    world.later(dead(world))
    world.look()
    world.look()
    assert outside.kinds().count(NoticeKind.CRASHED) == 1
    assert len(outside.started) == 1
    assert outside.crashed[-1] == second


def test_a_dead_run_is_called_about_until_somebody_was_reached(world: World, outside: Outside) -> None:
    world.run()
    world.later(dead(world))
    outside.deaf = True
    world.look()
    assert outside.kinds() == []
    outside.deaf = False
    world.look()
    assert outside.kinds() == [], "somebody has just tried"
    world.later(2 * MINUTE)
    world.look()
    world.look()
    assert outside.kinds() == [NoticeKind.CRASHED]


def test_a_run_without_an_incident_is_not_started_again(world: World, outside: Outside) -> None:
    world.run()
    world.later(dead(world))
    world.look()
    assert (outside.kinds(), outside.started) == ([NoticeKind.CRASHED], {})


def test_a_restore_that_died_is_only_marked(world: World, outside: Outside) -> None:
    run = world.run(runbook="restore")
    world.later(dead(world))
    world.look()
    assert (outside.crashed, outside.told) == ([run], [])


def test_who_lives_or_waits_is_not_taken_for_dead(world: World, outside: Outside) -> None:
    lives, waits = world.run(), world.run()
    world.asks(waits)
    world.later(dead(world))
    world.beats(lives)
    world.look()
    assert outside.crashed == []


def test_a_dead_run_that_prefect_does_not_know_keeps_no_other_from_being_found(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(run: str) -> None:
        raise LookupError("no such run")

    monkeypatch.setattr(module, "_tell_prefect", gone)
    runs = [world.run(), world.run()]
    world.later(dead(world))
    world.look()
    found = [world.ledger.runs.get(run) for run in runs]
    assert [record and record.crashed for record in found] == [True, True]
    assert outside.kinds() == [NoticeKind.CRASHED] * 2


# ---- approvals -------------------------------------------------------------------------------------------------------


def test_people_are_told_once_that_a_run_asks(world: World, outside: Outside) -> None:
    world.asks(world.run())
    world.look()
    world.look()
    (notice,) = outside.told
    assert (notice.kind, dict(notice.facts)["plan"], dict(notice.facts)["change 1"]) == (
        NoticeKind.APPROVAL_WANTED,
        "key",
        "3 -> 1",
    )
    assert outside.woken == []


def test_people_are_told_of_a_question_before_its_run_waits_for_the_answer(world: World, outside: Outside) -> None:
    """It does meanwhile what needs no answer, and the question's time runs."""
    run = world.run()
    now = world.ledger.now()
    asked = Approval("key", run, None, SITE, HIGH.id, ("3 -> 1",), Answer.ASKED, now, now + 15 * MINUTE)
    world.ledger.approvals.ask(asked)
    world.look()
    assert outside.kinds() == [NoticeKind.APPROVAL_WANTED]


@pytest.mark.parametrize(("approved", "choice"), [(True, Choice.APPROVE), (False, Choice.DECLINE)])
def test_a_run_whose_plan_was_answered_elsewhere_goes_on(
    world: World, outside: Outside, approved: bool, choice: Choice
) -> None:
    run = world.run()
    world.asks(run)
    world.ledger.approvals.answer("key", approved, "alice")
    world.watches[0].look()
    assert outside.woken == [(run, choice, "alice")]
    assert outside.told == []


def test_a_run_that_goes_on_as_soon_as_a_worker_takes_it_is_not_buried(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.asks(run, why)
    world.ledger.approvals.answer("key", True, "ada")
    outside.awake_already = outside.waiting = True
    world.later(REPLACED_AFTER + MINUTE)
    world.look()
    assert outside.crashed == []
    outside.waiting = False  # it was deleted, or died before it said that it goes on
    world.look()
    assert outside.crashed == [run]


def test_a_question_that_ran_out_is_declined(world: World, outside: Outside) -> None:
    run = world.run()
    world.asks(run)
    world.later(15 * MINUTE)
    world.watches[0].look()
    assert outside.woken == [(run, Choice.DECLINE, "")]


@pytest.mark.parametrize("over", ["resolved", "quiet"])
def test_a_question_about_what_is_over_is_withdrawn(world: World, outside: Outside, over: str) -> None:
    why = world.raised()
    run = world.run(why)
    world.asks(run, why)
    if over == "resolved":
        world.ledger.incidents.close(why.id, world.ledger.now())
    else:
        found = world.ledger.incidents.resolve(SITE, HIGH.alert, world.ledger.now())
        assert found is not None
        assert found.quiet_at, "the run still has it in hand"
    world.watches[0].look()
    assert outside.woken == [(run, Choice.DECLINE, "")]
    (asked,) = world.ledger.approvals.of_run(run)
    assert asked.answer is Answer.WITHDRAWN


def test_one_run_that_cannot_be_woken_keeps_no_other_from_it(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = world.run(), world.run()
    for key, run in (("one", stuck), ("two", other)):
        world.asks(run, key=key)
        world.ledger.approvals.answer(key, True, "alice")

    def wake(run: str, choice: Choice, name: str) -> bool:
        if run == stuck:
            raise ConnectionError("connection refused")
        return outside.wake(run, choice, name)

    monkeypatch.setattr(module, "wake", wake)
    world.watches[0].look()
    assert [run for run, _, _ in outside.woken] == [other]


# ---- giving back -----------------------------------------------------------------------------------------------------


def test_a_restore_is_started_once_when_nothing_speaks_for_a_claim_any_more(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.claims(run, why)
    world.look()
    assert outside.started == {}, "a run is at work"
    world.ledger.runs.end(run, Outcome.RECOVERED, "", None)
    world.look()
    assert outside.started == {}, "the incident is open"
    world.ledger.incidents.close(why.id, world.ledger.now())
    world.look()
    world.look()
    assert list(outside.started.values()) == [("restore", {"site": SITE})]


def test_a_restore_is_not_joined_by_another(world: World, outside: Outside) -> None:
    run = world.run()
    world.claims(run, None)
    world.ledger.runs.end(run, Outcome.RECOVERED, "", None)
    world.beats(world.run(runbook="restore"))
    world.look()
    assert outside.started == {}


def test_after_a_storm_a_few_sites_at_a_time_are_given_back(world: World, outside: Outside) -> None:
    """What was started has some time to begin; what is at work counts for as long as it is."""
    turn = world.platform.pace.look_back_seconds
    world.later(timedelta(seconds=turn - world.ledger.now().timestamp() % turn))  # all that follows is in one turn
    names = [f"site-{number}" for number in range(8)]
    world.sites[:] = [Site(name, world.platform) for name in names]
    for name in names:
        run = world.run(site=name)
        world.claims(run, None, site=name)
        world.ledger.runs.end(run, Outcome.RECOVERED, "", None)

    def started() -> list[str]:
        return [about["site"] for _, about in outside.started.values()]

    world.look()
    world.look()
    assert started() == names[:AT_ONCE]
    at_work = [world.run(runbook="restore", site=name) for name in names[:2]]
    world.later(BEGINS_WITHIN)
    for run in at_work:
        world.beats(run)
    world.look()
    assert started() == names[: AT_ONCE + 1], "one has not begun, and is not waited for"
    for run in at_work:
        world.ledger.runs.end(run, Outcome.GIVEN_BACK, "", None)
    world.later(BEGINS_WITHIN)
    world.look()
    assert started() == names[: AT_ONCE + 4]


def test_what_is_still_needed_is_looked_at_again_later(world: World, outside: Outside) -> None:
    run = world.run()
    world.claims(run, None)
    world.ledger.runs.end(run, Outcome.RECOVERED, "", None)
    world.look()
    world.later(timedelta(seconds=world.platform.pace.look_back_seconds))
    world.look()
    assert len(outside.started) == 2


def test_a_person_is_called_once_about_what_was_not_given_back_in_time(world: World, outside: Outside) -> None:
    why = world.raised()
    run = world.run(why)
    world.claims(run, why, due=timedelta(hours=4))
    world.ledger.runs.end(run, Outcome.RECOVERED, "", None)
    world.look()
    world.later(timedelta(hours=4, seconds=1))
    world.look()
    world.look()
    assert outside.kinds().count(NoticeKind.RESTORE_OVERDUE) == 1
    (claim,) = world.ledger.claims.of_run(run)
    assert claim.paged_at is not None
    assert claim.state is ClaimState.OPEN


def test_an_overdue_restore_is_called_about_until_somebody_was_reached(
    world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(notifier: Notifier, notice: Notice) -> str:
        raise ConnectionError("connection refused")

    run = world.run()
    world.claims(run, None, due=MINUTE)
    world.ledger.runs.end(run, Outcome.RECOVERED, "", None)
    world.later(2 * MINUTE)
    with monkeypatch.context() as down:
        down.setattr(Notifier, "send", fails)
        world.look()
    assert NoticeKind.RESTORE_OVERDUE not in outside.kinds()
    world.later(2 * MINUTE)
    world.look()
    world.look()
    assert outside.kinds().count(NoticeKind.RESTORE_OVERDUE) == 1
