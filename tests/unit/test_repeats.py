"""An option that is meant to be taken again, like one stuck task after the other: while it changes something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tasks import ladder
from tasks.case import Case
from tasks.ladder import Ending, climb
from tasks.model.decision import Healthy, Verdict, Yes
from tasks.model.outcome import Outcome
from tasks.platform import Pace
from tasks.runbook import Option, Runbook
from tasks.validate import Helps
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import HIGH, End, Found, Job, Number, Standin, scale_out, standin

LOST = httpx.ReadTimeout("no answer")


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The climb ends before the gate, which is another matter."""

    def closed(case: Case[Any, Any], refused: list[str], waiting: bool) -> Ending:
        return Ending(Outcome.NOT_RECOVERED, "; ".join(refused))

    monkeypatch.setattr(ladder, "_gate", closed)


class Jobs:
    """Stuck jobs, and the option that ends the first one that is left. A job that is ended is gone."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = jobs

    def end_one(self, found: Found, site: Standin) -> Verdict:
        """End a stuck job."""
        number = next(number for number, job in enumerate(self.jobs) if not job.ended)
        return Yes("a job is stuck", ((End(self.jobs[number], f"job-{number}"),),))

    def runbook(self, at_most: int | None) -> Runbook[Standin, Found]:
        repeats: Mapping[Option[Found, Standin], Callable[[Standin], int]] = {}
        if at_most is not None:
            repeats = {self.end_one: lambda site: at_most}
        return replace(HIGH, options=(self.end_one, scale_out), repeats=repeats)

    @property
    def ended(self) -> int:
        return sum(job.ended for job in self.jobs)


def case(monkeypatch: pytest.MonkeyPatch, runbook: Runbook[Standin, Found], **other: Any) -> InlineCase:
    site = standin(pace=Pace(poll_seconds=0.001, quick_check_minutes=0.0001))
    site.numbers["orchestration"] = Number()
    return inline_case(monkeypatch, runbook=runbook, platform=site, **other)


def taken(run: InlineCase) -> list[str]:
    """What was taken in each round, in order."""
    return [first.option for decision in run.decisions if (first := decision.first)]


@pytest.mark.parametrize("at_most", [0, 1, 3])
def test_it_is_taken_again_up_to_the_cap_and_then_the_next_option(
    monkeypatch: pytest.MonkeyPatch, at_most: int
) -> None:
    jobs = Jobs(*(Job() for _ in range(9)))
    run = case(monkeypatch, jobs.runbook(at_most))
    climb(run)
    assert jobs.ended == at_most
    assert taken(run) == ["end one"] * at_most + ["scale out"]
    assert f"done {at_most} times already for this incident" in run.decisions[-1].weighed[0].verdict.because


def test_what_is_not_meant_to_repeat_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(Job(), Job())
    run = case(monkeypatch, jobs.runbook(None))
    climb(run)
    assert taken(run) == ["end one", "scale out"]
    assert jobs.ended == 1


def test_where_nobody_can_tell_whether_it_arrived_it_is_not_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(Job(after_write=[LOST]), Job(), Job())
    run = case(monkeypatch, jobs.runbook(3))
    ending = climb(run)
    assert taken(run) == ["end one", "scale out"]
    assert jobs.ended == 1
    assert "end one: effect unknown" in ending.verdict


def test_a_run_that_is_executed_again_counts_what_it_did_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was suspended for a person's answer: the count is the ledger's."""
    jobs, ledger, why = Jobs(*(Job() for _ in range(9))), fresh_ledger(), incident()
    for at_most in (2, 5):
        run = case(monkeypatch, jobs.runbook(at_most), ledger=ledger, incident=why)
        climb(run)
        assert jobs.ended == at_most
    assert taken(run) == ["end one"] * 3 + ["scale out"]


def test_a_run_that_picks_up_from_a_crashed_one_counts_what_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, ledger, why = Jobs(*(Job() for _ in range(9))), fresh_ledger(), incident()
    crashed = case(monkeypatch, jobs.runbook(2), ledger=ledger, incident=why)
    climb(crashed)
    crashed.let_go()
    assert ledger.incidents.pick_up(why.id, crashed.run_id)
    climb(case(monkeypatch, jobs.runbook(5), ledger=ledger, incident=why, run="run-2"))
    assert jobs.ended == 5


def test_another_incident_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, ledger = Jobs(*(Job() for _ in range(9))), fresh_ledger()
    first = case(monkeypatch, jobs.runbook(2), ledger=ledger)
    climb(first)
    first.let_go()
    climb(case(monkeypatch, jobs.runbook(2), ledger=ledger, run="run-2"))
    assert jobs.ended == 4


def test_when_the_alert_is_over_a_fresh_look_decides_whether_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(*(Job() for _ in range(9)))
    run = case(monkeypatch, jobs.runbook(9))
    site: Standin = run.platform

    def end_one(found: Found, there: Standin) -> Verdict:
        site.answers.value = 900 if jobs.ended < 3 else 10  # the fourth look finds few waiting
        return jobs.end_one(found, there)

    runbook = replace(run.runbook, options=(end_one, scale_out), repeats={end_one: lambda site: 9})
    monkeypatch.setattr(run, "runbook", runbook)
    monkeypatch.setattr(ladder, "quick_check", lambda case, option: Helps.CLEARED)
    climb(run)
    assert jobs.ended == 4
    assert isinstance(run.decisions[-1].triage, Healthy)
    assert taken(run) == ["end one"] * 4


def test_when_the_alert_is_over_after_any_other_option_the_gate_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(Job(), Job())
    run = case(monkeypatch, jobs.runbook(None))
    monkeypatch.setattr(ladder, "quick_check", lambda case, option: Helps.CLEARED)
    climb(run)
    assert taken(run) == ["end one"]
