"""What must not be done twice: cancel, replay, terminate. No second write without a clear 'no', whatever went wrong."""

from __future__ import annotations

import pytest
from kubernetes.client.exceptions import ApiException
from prefect import State

from tasks.case import Planned
from tasks.ledger import ChangeState
from tasks.making import RETRIES, Making
from tasks.mitigate import mitigate
from tasks.model.change import Conflict, Happened, Purpose, Surroundings
from tasks.model.decision import Weighed, Yes
from tasks.model.refusal import Refusal
from tests.unit.inline import InlineCase, begin, incident, inline_case
from tests.unit.standin import End, Job

LOST = ConnectionResetError("the answer was lost")


def make(case: InlineCase, end: End) -> tuple[Making, State[str]]:
    making = Making(case, "end it", Planned(end, end.diff(), None, ""))
    return making, case.start("mitigate", "mitigate: it", making.attempt, retries=RETRIES).state


def states(case: InlineCase, run: str = "run-1") -> list[ChangeState]:
    return [change.state for change in case.ledger.changes.of_run(run)]


def test_it_is_done_once(case: InlineCase) -> None:
    job = Job()
    _, state = make(case, End(job))
    assert (state.is_completed(), job.ended, states(case)) == (True, 1, [ChangeState.IN_EFFECT])


@pytest.mark.parametrize("tells", [Happened.UNKNOWN, ConnectionResetError("still no answer")])
def test_an_answer_that_got_lost_is_not_followed_by_a_second_write(
    case: InlineCase, tells: Happened | Exception
) -> None:
    job = Job(tells=tells, after_write=[LOST])
    making, state = make(case, End(job))
    assert job.ended == 1
    assert making.refused is not None
    assert making.refused.refusal in (Refusal.EFFECT_UNKNOWN, Refusal.CANNOT_BE_JUDGED)
    assert states(case) == [ChangeState.EFFECT_UNKNOWN], "a person has to look"
    assert (state.is_failed(), case.changed) == (True, True)


def test_an_answer_that_got_lost_and_a_target_that_says_yes_is_done(case: InlineCase) -> None:
    job = Job(tells=Happened.YES, after_write=[LOST])
    making, state = make(case, End(job))
    assert (job.ended, making.refused, state.is_completed()) == (1, None, True)
    assert states(case) == [ChangeState.IN_EFFECT]


def test_a_request_that_got_lost_is_sent_again_when_the_target_says_no(case: InlineCase) -> None:
    job = Job(tells=Happened.NO, before_write=[LOST, LOST])
    _, state = make(case, End(job))
    assert (job.ended, state.is_completed(), states(case)) == (1, True, [ChangeState.IN_EFFECT])


def test_a_request_of_which_nobody_knows_is_not_sent_again(case: InlineCase) -> None:
    job = Job(tells=Happened.UNKNOWN, before_write=[LOST])
    make(case, End(job))
    assert (job.ended, states(case)) == (0, [ChangeState.EFFECT_UNKNOWN])


def test_a_target_that_refused_it_did_not_do_it(case: InlineCase) -> None:
    job = Job(before_write=[ApiException(status=403, reason="Forbidden")])
    making, _ = make(case, End(job))
    assert (job.ended, making.reached, states(case)) == (0, False, [ChangeState.FAILED])


def test_a_target_that_changed_meanwhile_is_asked_before_it_is_done_anew(case: InlineCase) -> None:
    job = Job(tells=Happened.NO, before_write=[Conflict("it changed")])
    make(case, End(job))
    assert (job.ended, states(case)) == (1, [ChangeState.IN_EFFECT])


# what a run that was killed in the middle left, and what the target says to the next one of the same incident
LEFT: list[tuple[Happened, int, list[ChangeState]]] = [
    (Happened.YES, 0, []),
    (Happened.NO, 1, [ChangeState.IN_EFFECT]),
    (Happened.UNKNOWN, 0, [ChangeState.REFUSED]),
]


@pytest.mark.parametrize(("tells", "writes", "left"), LEFT)
def test_the_run_that_picks_an_incident_up_asks_after_what_was_intended(
    monkeypatch: pytest.MonkeyPatch, tells: Happened, writes: int, left: list[ChangeState]
) -> None:
    why = incident()
    case = inline_case(monkeypatch, run="run-1", incident=why)
    end = End(Job(tells=tells))
    case.intend("end it", end, end.diff(), Purpose.CHANGE, None)
    assert case.ledger.incidents.pick_up(why.id, "run-1")
    begin(case.ledger, "run-2", incident=why)
    again = inline_case(monkeypatch, run="run-2", incident=why, ledger=case.ledger)
    attempt = mitigate(again, Weighed("end it", "Option 1", Yes("it hangs", ((end,),))))
    assert (end.job.ended, attempt.changed, states(again, "run-2")) == (writes, bool(writes), left)
    case.ledger.close()


def test_the_share_of_a_group_counts_what_was_done_by_the_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of four running tasks: two runs of the same incident cancel two of them together."""
    why, four = incident(), Surroundings(group="running tasks", group_size=4)
    jobs = [Job() for _ in range(4)]
    ends = [End(job, f"job-{number}", around=four) for number, job in enumerate(jobs)]
    first = inline_case(monkeypatch, run="run-1", incident=why)
    mitigate(first, Weighed("end it", "Option 1", Yes("it hangs", ((ends[0],),))))
    assert first.ledger.incidents.pick_up(why.id, "run-1")
    first.let_go()
    second = inline_case(monkeypatch, run="run-2", incident=why, ledger=first.ledger)
    attempt = mitigate(second, Weighed("end it", "Option 1", Yes("it hangs", tuple((end,) for end in ends[1:]))))
    assert [job.ended for job in jobs] == [1, 1, 0, 0]
    assert {refused.refusal for refused in attempt.refusals} == {Refusal.OVER_THE_LIMIT}
    first.ledger.close()
