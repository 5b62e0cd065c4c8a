"""The ladder: one option after the other until one has helped, and how a run ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks import ladder
from tasks.ladder import REPLANS, Ending
from tasks.ledger import ClaimState
from tasks.mitigate import Attempt
from tasks.model.decision import Act, Blind, Decision, HandOver, No, Triage, Verdict, Wait, Weighed, Yes
from tasks.model.evidence import UnknownReading
from tasks.model.outcome import Outcome, Severity, Trust
from tasks.model.refusal import Refusal, Refused
from tasks.runbook import Option
from tasks.validate import Helps
from tests.unit.climbs import (
    CLEARED,
    NO,
    Climb,
    larger,
    option,
    slower,
    triaged,
    values,
    with_options,
)
from tests.unit.inline import InlineCase, inline_case
from tests.unit.makings import claims
from tests.unit.standin import (
    CRITICAL,
    SUBJECT,
    Found,
    Standin,
    scale_out,
)

NEVER_ASKS = with_options(scale_out, option("slow_down", slower()))


# ---- options -------------------------------------------------------------------------------------------------------


def test_the_first_option_that_helps_is_the_last_one_taken(way: Climb) -> None:
    way.checks = [CLEARED]
    case, ending = way.run()
    assert (ending.outcome, values(case)) == (Outcome.RECOVERED, (5, 3))
    assert claims(case) == [("at least 5", ClaimState.OPEN)], "kept, until it is not needed"


def test_an_option_that_does_not_help_is_followed_by_the_next(way: Climb) -> None:
    way.checks = [NO, CLEARED]
    case, ending = way.run(NEVER_ASKS)
    assert (ending.outcome, values(case)) == (Outcome.RECOVERED, (5, 1))
    assert len(case.rounds) == 2, "diagnosed again"


def test_when_nothing_helps_the_gate_fails_and_what_was_useless_is_undone(way: Climb) -> None:
    way.checks, way.opens = [NO, Helps.RECOVERING], False
    case, ending = way.run(NEVER_ASKS)
    assert ending.outcome is Outcome.NOT_RECOVERED
    assert values(case) == (2, 1), "what was recovering is kept"
    assert [state for _, state in claims(case)] == [ClaimState.RELEASED, ClaimState.OPEN]


def test_nothing_is_undone_when_nobody_could_tell_whether_it_helped(way: Climb) -> None:
    way.checks, way.opens = [NO, NO], False
    platform = way.platform()
    case = inline_case(way.environment, runbook=NEVER_ASKS, platform=platform)
    case.unreadable = "Prometheus does not answer"
    assert way.go_on(case).outcome is Outcome.NOT_RECOVERED
    assert values(case) == (5, 1)


def test_a_healthy_system_is_left_alone(way: Climb) -> None:
    platform = way.platform()
    platform.answers.value = 100
    case = inline_case(way.environment, platform=platform)
    ending = way.go_on(case)
    assert (ending.outcome, ending.verdict) == (Outcome.NOTHING_TO_DO, "few wait")
    assert (case.ledger.changes.of_run("run-1"), case.ledger.locks.all()) == ([], [])


def test_a_condition_that_cannot_be_read_is_no_proof_of_health(way: Climb) -> None:
    way.opens = False
    platform = way.platform()
    platform.answers.value = PermissionError("may not be read")
    platform.pace = platform.pace.model_copy(update={"stale_after_seconds": 0.05})
    case = inline_case(way.environment, platform=platform)
    assert way.go_on(case).outcome is Outcome.NOT_RECOVERED
    blind = Decision(Blind("cannot tell whether there is anything to do: may not be read"), ())
    assert case.decisions == [blind, blind], "it is looked at twice, as long after as a sample may be old"
    assert case.ledger.changes.of_run("run-1") == []


def unreadable(times: int) -> Option[Found, Standin]:
    """An option whose reading is missing so many times."""
    left = [True] * times

    def scale(found: Found, site: Standin) -> Verdict:
        if left:
            left.pop()
            raise UnknownReading("nobody exports it")
        return Yes("too many wait", larger()(site))

    return scale


@pytest.mark.parametrize("times", [1, 3])
def test_before_giving_up_what_could_not_be_read_is_looked_for_again(way: Climb, times: int) -> None:
    """One scrape that failed, as of pods that are overloaded, makes a series vanish; another one's may be next."""
    way.checks = [CLEARED]
    case, ending = way.run(with_options(unreadable(times)))
    assert (ending.outcome, values(case)) == (Outcome.RECOVERED, (5, 3))
    assert case.decisions[0].because == "no option is left, and not everything could be read"
    assert [note.text for note in case.ledger.runs.notes("run-1") if note.kind == "checked"] == [
        "readings were missing, so once more (more than 800 wait; now 900)"
    ] * times


def test_what_cannot_be_read_for_as_long_as_a_sample_may_be_old_is_nobody_s_to_change(
    way: Climb, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def wait(case: InlineCase, longest: float) -> float:
        waited.append(longest)
        return 25.0

    monkeypatch.setattr(ladder, "await_readings", wait)
    way.opens = False
    case, ending = way.run(with_options(unreadable(4)))
    assert waited == [60, 35, 10]
    assert (ending.outcome, values(case), len(case.decisions)) == (Outcome.NOT_RECOVERED, (2, 3), 4)


def test_what_is_under_way_is_waited_for_once(way: Climb) -> None:
    def scale(found: Found, site: Standin) -> Verdict:
        return Wait("the autoscaler is at work")

    way.checks = [NO, CLEARED]
    case, ending = way.run(with_options(scale, option("slow_down", slower())))
    assert (ending.outcome, values(case)) == (Outcome.RECOVERED, (2, 1))
    assert case.decisions[1].weighed[0].verdict == No("waited already: the autoscaler is at work")


# ---- refused -------------------------------------------------------------------------------------------------------


def test_refused_and_nothing_changed_is_refused(way: Climb) -> None:
    way.opens = False
    case, ending = way.run(trust=Trust.APPROVE)
    assert ending.outcome is Outcome.REFUSED
    assert "scale out: not approved" in ending.verdict
    assert values(case) == (2, 3)


def test_refused_although_it_recovered_by_itself_is_recovered(way: Climb) -> None:
    _, ending = way.run(trust=Trust.APPROVE)
    assert ending.outcome is Outcome.RECOVERED
    assert ending.verdict.endswith("without a change by this run")


def test_one_refused_option_does_not_end_the_climb(way: Climb) -> None:
    way.checks = [CLEARED]
    case, ending = way.run(with_options(option("far_too_large", larger(21)), option("slow_down", slower())))
    assert (ending.outcome, values(case)) == (Outcome.RECOVERED, (2, 1))


def test_a_plan_that_is_always_stale_is_given_up(way: Climb, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def stale(case: InlineCase, chosen: Weighed) -> Attempt:
        tried.append(chosen.option)
        return Attempt(chosen.option, False, "stale", (Refused(Refusal.STALE_PLAN, "it drifts"),))

    monkeypatch.setattr(ladder, "mitigate", stale)
    way.opens = False
    _, ending = way.run(with_options(scale_out))
    assert tried == ["scale out"] * (REPLANS + 1)
    assert ending.outcome is Outcome.REFUSED


# ---- others --------------------------------------------------------------------------------------------------------


def test_a_run_stands_aside_for_a_graver_one(way: Climb) -> None:
    platform = way.platform()
    case = inline_case(way.environment, platform=platform)
    case.ledger.locks.acquire("run-2", CRITICAL.id, Severity.CRITICAL, "prod", [SUBJECT])
    ending = way.go_on(case)
    assert (ending.outcome, values(case)) == (Outcome.STEPPED_ASIDE, (2, 3))
    assert "critical_waiting (critical) has" in ending.verdict


def test_an_incident_is_handed_over_only_to_a_runbook_that_is_there(way: Climb) -> None:
    way.checks = [CLEARED]
    graver = triaged(HandOver("critical_waiting", "960 wait", "graver"))
    case, ending = way.run(graver)
    assert ending.outcome is Outcome.RECOVERED, "nobody else would do it"
    case = inline_case(way.environment, runbook=graver)
    case.deployed = lambda: {"critical_waiting"}
    assert way.go_on(case) == Ending(Outcome.STEPPED_ASIDE, "critical_waiting takes over: 960 wait")
    cause = inline_case(way.environment, runbook=triaged(HandOver("redis", "Redis is down", "cause")))
    cause.deployed = lambda: {"redis"}
    assert way.go_on(cause) == Ending(Outcome.DEFERRED, "left to redis: Redis is down")


def test_a_run_that_has_begun_steps_aside_when_it_gets_graver(way: Climb) -> None:
    """Also after it has changed something, which the graver one then finds."""

    def gets_graver(found: Found, site: Standin) -> Triage:
        changed = site.numbers["orchestration"].value > 2
        return HandOver("critical_waiting", "960 wait", "graver") if changed else Act("too many wait")

    way.checks = [NO]
    platform = way.platform()
    case = inline_case(way.environment, runbook=replace(NEVER_ASKS, triage=gets_graver), platform=platform)
    case.deployed = lambda: {"critical_waiting"}
    assert way.go_on(case) == Ending(Outcome.STEPPED_ASIDE, "critical_waiting takes over: 960 wait")
    assert values(case) == (5, 3), "no further option, and nothing is taken back"
    assert claims(case) == [("at least 5", ClaimState.OPEN)]


# ---- trust ---------------------------------------------------------------------------------------------------------


def test_observing_decides_and_shows_no_plan(way: Climb) -> None:
    case, ending = way.run(trust=Trust.OBSERVE)
    assert (ending.outcome, case.plan, values(case)) == (Outcome.OBSERVED, [], (2, 3))


def test_planning_shows_every_option_that_applies(way: Climb) -> None:
    case, ending = way.run(trust=Trust.PLAN)
    assert (ending.outcome, values(case)) == (Outcome.PLANNED, (2, 3))
    assert [(option, planned.text) for option, planned in case.plan] == [
        ("scale out", "orchestration, replicas: 2 -> 5"),
        ("slow down", "publishers, replicas: 3 -> 1"),
    ]
