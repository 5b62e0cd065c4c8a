"""The ladder: one option after the other until one has helped, and how a run ends. Looking, planning and making are the
real ones; only the quick check and the gate, which take their time, say at once what the test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tasks import approval, ladder
from tasks.ladder import REPLANS, Ending, climb
from tasks.ledger import Answer, Approval, ClaimState
from tasks.mitigate import Attempt
from tasks.model.decision import Act, Blind, Decision, HandOver, No, Step, Triage, Verdict, Wait, Weighed, Yes
from tasks.model.evidence import UnknownReading
from tasks.model.outcome import Outcome, Severity, Trust
from tasks.model.refusal import Refusal, Refused
from tasks.runbook import AnyRunbook, Option
from tasks.validate import Gate, Helps
from tasks.validate import Verdict as GateVerdict
from tests.unit.inline import InlineCase, incident, inline_case
from tests.unit.standin import (
    CRITICAL,
    HIGH,
    SUBJECT,
    Found,
    Number,
    Standin,
    at_least,
    at_most,
    scale_out,
    slow_down,
    standin,
)

CLEARED, NO = Helps.CLEARED, Helps.NO


class Suspended(BaseException):
    """The run is suspended: nothing of it goes on."""


@dataclass
class Climb:
    """One run with what its quick checks and its gate will say."""

    environment: pytest.MonkeyPatch
    checks: list[Helps] = field(default_factory=list)
    opens: bool = True
    waits: list[str] = field(default_factory=list)

    def platform(self) -> Standin:
        """A site where too many wait."""
        found = standin()
        found.numbers.update(orchestration=Number(2), publishers=Number(3))
        return found

    def run(self, runbook: AnyRunbook = HIGH, **of: object) -> tuple[InlineCase, Ending]:
        """Climbs."""
        case = inline_case(self.environment, runbook=runbook, platform=self.platform(), **of)  # type: ignore[arg-type]
        return case, self.go_on(case)

    def go_on(self, case: InlineCase, check: Callable[[InlineCase, str], Helps] | None = None) -> Ending:
        """Climbs, or climbs again."""
        self.environment.setattr(ladder, "quick_check", check or (lambda case, option: self.checks.pop(0)))
        self.environment.setattr(ladder, "measure_before", lambda case: None)
        self.environment.setattr(ladder, "validate", self._gate)
        return climb(case)

    def _gate(self, case: InlineCase, *, patient: bool) -> Gate:
        verdict = GateVerdict.OPEN if self.opens else GateVerdict.CLOSED
        return replace(Gate(case.criteria, 0, patient), verdict=verdict)

    def may_be_suspended(self) -> None:
        """The run was started through its deployment."""

        def suspend(case: InlineCase, option: str, asked: Approval) -> None:
            case.let_go()
            case.ledger.runs.wait(case.run_id, asked.key)
            self.waits.append(asked.key)
            raise Suspended

        self.environment.setattr(approval, "can_wait", lambda: True)
        self.environment.setattr(approval, "suspend", suspend)


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Climb:
    return Climb(monkeypatch)


@pytest.fixture(autouse=True)
def _in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was not started through its deployment cannot be suspended."""
    monkeypatch.setattr(approval, "can_wait", lambda: False)


def values(case: InlineCase) -> tuple[int, int]:
    numbers: dict[str, Number] = case.platform.numbers
    return numbers["orchestration"].value, numbers["publishers"].value


def claims(case: InlineCase) -> list[tuple[str, ClaimState]]:
    return [(str(claim.claim), claim.state) for claim in case.ledger.claims.of_run("run-1")]


Steps = Callable[[Standin], tuple[Step, ...]]


def option(name: str, steps: Steps) -> Option[Found, Standin]:
    """An option that always applies."""

    def apply(found: Found, site: Standin) -> Verdict:
        return Yes("too many wait", steps(site))

    apply.__name__ = name
    return apply


def with_options(*options: Option[Found, Standin]) -> AnyRunbook:
    return replace(HIGH, options=options)


def triaged(triage: Triage) -> AnyRunbook:
    return replace(HIGH, triage=lambda found, site: triage)


def slower(to: int = 1, asks: str = "") -> Steps:
    return lambda site: ((at_most(site.numbers["publishers"], to, asks=asks),),)


def larger(to: int = 5) -> Steps:
    return lambda site: ((at_least(site.numbers["orchestration"], to),),)


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


# ---- asking --------------------------------------------------------------------------------------------------------

ONLY_SLOW = with_options(slow_down)
BOTH = with_options(option("all_at_once", lambda site: larger()(site) + slower(asks="events are delayed")(site)))


def test_a_run_that_needs_an_answer_is_suspended_and_holds_nothing(way: Climb) -> None:
    way.may_be_suspended()
    why = incident()
    platform = way.platform()
    case = inline_case(way.environment, runbook=ONLY_SLOW, platform=platform, incident=why)
    with pytest.raises(Suspended):
        way.go_on(case)
    (asked,) = case.ledger.approvals.waiting()
    assert (asked.key, asked.incident, asked.answer) == (way.waits[0], why.id, Answer.ASKED)
    assert asked.plan == (
        "deployment bus/publishers, replicas: 3 -> 1 (reversible; events are delayed; given back: when fewer wait)",
    )
    assert asked.expires_at - asked.asked_at == timedelta(minutes=15)
    assert (case.ledger.locks.all(), values(case)) == ([], (2, 3))


def test_what_needs_no_answer_is_done_before_anybody_is_waited_for(way: Climb) -> None:
    way.may_be_suspended()
    way.checks = [NO]
    platform = way.platform()
    case = inline_case(way.environment, runbook=BOTH, platform=platform)
    with pytest.raises(Suspended):
        way.go_on(case)
    assert values(case) == (5, 3)


def test_nobody_is_waited_for_when_the_rest_has_helped(way: Climb) -> None:
    way.may_be_suspended()
    way.checks = [CLEARED]
    case, ending = way.run(BOTH)
    assert (ending.outcome, values(case), way.waits) == (Outcome.RECOVERED, (5, 3), [])


def answered(way: Climb, *, approved: bool) -> InlineCase:
    """A run that was suspended, and is executed again from its top after the answer."""
    way.may_be_suspended()
    why = incident()
    platform = way.platform()
    case = inline_case(way.environment, runbook=ONLY_SLOW, platform=platform, incident=why)
    with pytest.raises(Suspended):
        way.go_on(case)
    case.ledger.approvals.answer(way.waits[0], approved, "alice")
    return inline_case(
        way.environment, runbook=ONLY_SLOW, platform=platform, incident=case.incident, ledger=case.ledger
    )


def test_an_approved_plan_is_made_after_a_fresh_diagnosis(way: Climb) -> None:
    case = answered(way, approved=True)
    way.checks = [CLEARED]
    assert way.go_on(case).outcome is Outcome.RECOVERED
    assert (values(case), len(case.rounds), len(way.waits)) == ((2, 1), 1, 1)


def test_what_is_approved_while_the_rest_is_made_is_made_by_the_same_run(way: Climb) -> None:
    case = inline_case(way.environment, runbook=BOTH, platform=way.platform())

    def approved_meanwhile(of: InlineCase, option: str) -> Helps:
        for asked in of.ledger.approvals.waiting():
            of.ledger.approvals.answer(asked.key, True, "alice")
            return NO
        return CLEARED

    way.go_on(case, check=approved_meanwhile)
    assert values(case) == (5, 1)
    assert [first.option for decision in case.decisions if (first := decision.first)] == ["all at once", "all at once"]


def test_a_declined_plan_is_not_made_and_not_asked_again(way: Climb) -> None:
    case = answered(way, approved=False)
    way.opens = False
    ending = way.go_on(case)
    assert (ending.outcome, values(case), len(way.waits)) == (Outcome.REFUSED, (2, 3), 1)
    assert "is declined" in ending.verdict


def test_a_diagnosis_that_leads_to_another_plan_asks_again(way: Climb) -> None:
    case = answered(way, approved=True)
    case.runbook = with_options(option("slow_down", slower(0, asks="events are delayed")))
    with pytest.raises(Suspended):
        way.go_on(case)
    assert len(set(way.waits)) == 2
    assert values(case) == (2, 3)


def test_a_system_that_became_healthy_meanwhile_is_left_alone_although_somebody_said_yes(way: Climb) -> None:
    case = answered(way, approved=True)
    case.platform.answers.value = 100
    assert way.go_on(case).outcome is Outcome.NOTHING_TO_DO
    assert values(case) == (2, 3)


def test_a_run_that_cannot_wait_says_which_plan_it_needs(way: Climb) -> None:
    way.opens = False
    case, ending = way.run(ONLY_SLOW)
    (asked,) = case.ledger.approvals.of_run("run-1")
    assert ending.outcome is Outcome.REFUSED
    assert f"plan {asked.key} is asked" in ending.verdict
