"""What is between the ledger and people: approvals, pauses, pages; and how long a limit has been broken."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks.ledger import Answer, Approval, Ledger
from tasks.ledger.pages import AGAIN_AFTER
from tests.contract.ledger.places import START, Place, at_once, incident

MINUTE = timedelta(minutes=1)


def question(ledger: Ledger, key: str = "k1", **other: Any) -> Approval:
    """A plan that may be approved within ten minutes."""
    now = ledger.now()
    asked = Approval("k1", "run-1", "i-1", "prod", "bus_down", ("2 -> 5",), Answer.ASKED, now, now + 10 * MINUTE)
    return replace(asked, key=key, **other)


# ---- approvals -----------------------------------------------------------------------------------------------------


def test_a_question_comes_back_as_it_was_asked(ledger: Ledger) -> None:
    asked = question(ledger)
    assert ledger.approvals.ask(asked) == asked
    assert ledger.approvals.get("k1") == asked
    assert ledger.approvals.of_run("run-1") == ledger.approvals.waiting() == [asked]
    assert ledger.approvals.get("k2") is None
    assert not ledger.approvals.granted("k1")


def test_no_secret_of_a_plan_is_kept(ledger: Ledger) -> None:
    asked = ledger.approvals.ask(question(ledger, plan=("set password=hunter2",)))
    assert asked.plan == ("set password=***",)


def test_a_yes_holds_until_it_expires(place: Place, ledger: Ledger) -> None:
    ledger.approvals.ask(question(ledger))
    answered = ledger.approvals.answer("k1", True, "ada")
    assert (answered.answer, answered.answered_by) == (Answer.APPROVED, "ada")
    assert answered.answered_at is not None
    assert ledger.approvals.granted("k1")
    assert not ledger.approvals.granted("k2")
    assert ledger.approvals.waiting() == []
    place.turn(11 * MINUTE)
    assert not ledger.approvals.granted("k1")
    assert ledger.approvals.expire() == [], "it was answered in time"


def test_a_no_is_no(ledger: Ledger) -> None:
    ledger.approvals.ask(question(ledger))
    assert ledger.approvals.answer("k1", False, "ada").answer is Answer.DECLINED
    assert not ledger.approvals.granted("k1")
    assert ledger.approvals.answer("k1", True, "bob").answer is Answer.DECLINED, "the first answer counts"


def test_an_answer_that_comes_too_late_changes_nothing(place: Place, ledger: Ledger) -> None:
    ledger.approvals.ask(question(ledger))
    place.turn(11 * MINUTE)
    assert ledger.approvals.waiting() == []
    late = ledger.approvals.answer("k1", True, "ada")
    assert (late.answer, late.answered_by) == (Answer.EXPIRED, "")
    assert not ledger.approvals.granted("k1")


def test_an_answer_to_nothing_is_told(ledger: Ledger) -> None:
    with pytest.raises(LookupError, match="k1"):
        ledger.approvals.answer("k1", True, "ada")


def test_questions_run_out_once(place: Place, ledger: Ledger) -> None:
    ledger.approvals.ask(question(ledger))
    ledger.approvals.ask(question(ledger, "k2", expires_at=ledger.now() + 60 * MINUTE))
    place.turn(11 * MINUTE)
    assert [found.key for found in ledger.approvals.expire()] == ["k1"]
    assert ledger.approvals.expire() == []


@pytest.mark.parametrize("approved", [None, True])
def test_an_open_question_and_a_yes_are_not_asked_again(ledger: Ledger, approved: bool | None) -> None:
    first = ledger.approvals.ask(question(ledger))
    if approved:
        first = ledger.approvals.answer("k1", True, "ada")
    for run in ("run-1", "run-2"):
        # An open one is whose who asked last: in that run's form it is answered, and the one before has died.
        whose = first.run if approved else run
        assert ledger.approvals.ask(question(ledger, run=run)) == replace(first, run=whose)
        assert [one.key for one in ledger.approvals.of_run(whose)] == ["k1"]


def test_what_came_to_nothing_is_not_asked_twice_in_one_run(place: Place, ledger: Ledger) -> None:
    for key in ("declined", "withdrawn", "expired", "granted and expired"):
        ledger.approvals.ask(question(ledger, key, incident=key))
    ledger.approvals.answer("declined", False, "ada")
    ledger.approvals.answer("granted and expired", True, "ada")
    ledger.approvals.withdraw("withdrawn")
    place.turn(11 * MINUTE)
    for key, answer in (
        ("declined", Answer.DECLINED),
        ("withdrawn", Answer.WITHDRAWN),
        ("expired", Answer.EXPIRED),
        ("granted and expired", Answer.APPROVED),
    ):
        assert ledger.approvals.ask(question(ledger, key)).answer is answer
        anew = ledger.approvals.ask(question(ledger, key, run="run-2"))
        assert (anew.answer, anew.run, anew.answered_by) == (Answer.ASKED, "run-2", "")
        assert anew in ledger.approvals.waiting()


def test_what_is_over_needs_no_approval(place: Place, ledger: Ledger) -> None:
    for key, about in (("open", "i-1"), ("yes", "i-1"), ("no", "i-1"), ("other", "i-2")):
        ledger.approvals.ask(question(ledger, key, incident=about))
    ledger.approvals.answer("yes", True, "ada")
    ledger.approvals.answer("no", False, "ada")
    assert {found.key for found in ledger.approvals.withdraw("i-1")} == {"open", "yes"}
    assert not ledger.approvals.granted("yes")
    assert [found.key for found in ledger.approvals.waiting()] == ["other"]
    assert ledger.approvals.withdraw("i-1") == []


def test_one_of_many_answers_counts(ledger: Ledger) -> None:
    ledger.approvals.ask(question(ledger))
    answers = at_once(8, lambda number: ledger.approvals.answer("k1", number % 2 == 0, f"person-{number}"))
    assert len({(found.answer, found.answered_by) for found in answers}) == 1


# ---- pauses --------------------------------------------------------------------------------------------------------


def test_a_pause_holds_for_its_site(ledger: Ledger) -> None:
    paused = ledger.pauses.pause("prod", "a release", "ada")
    assert ledger.pauses.active("prod") == paused
    assert ledger.pauses.active("other") is None
    assert (paused.reason, paused.by) == ("a release", "ada")
    assert abs(paused.at - ledger.now()) < timedelta(seconds=10)
    assert ledger.pauses.resume("prod")
    assert not ledger.pauses.resume("prod")
    assert ledger.pauses.active("prod") is None


def test_a_pause_of_everything_holds_everywhere(ledger: Ledger) -> None:
    site = ledger.pauses.pause("prod", "a release", "ada")
    everything = ledger.pauses.pause("", "what is going on?", "bob")
    assert ledger.pauses.active("prod") == ledger.pauses.active("other") == everything
    assert ledger.pauses.all() == [everything, site]
    ledger.pauses.resume("")
    assert ledger.pauses.active("prod") == site


def test_a_second_pause_tells_the_latest_reason(ledger: Ledger) -> None:
    ledger.pauses.pause("prod", "a release", "ada")
    assert ledger.pauses.pause("prod", "still", "bob") == ledger.pauses.active("prod")
    assert [(pause.by, pause.reason) for pause in ledger.pauses.all()] == [("bob", "still")]


# ---- pages ---------------------------------------------------------------------------------------------------------


def test_a_page_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    page = ledger.pages.record("i-1", "escalation", 1, "850 tasks waiting", "pagerduty", "")
    ledger.pages.record("i-2", "escalation", 1, "x", "slack", "HTTP 500")
    assert ledger.pages.of("i-1") == [page]
    assert (page.kind, page.level, page.text, page.via, page.error) == (
        "escalation",
        1,
        "850 tasks waiting",
        "pagerduty",
        "",
    )


def test_one_of_many_calls(place: Place) -> None:
    def one(number: int) -> bool:
        with closing(place.open()) as own:
            return own.pages.once("i-1", "escalation", 1, ["pagerduty"])

    assert sum(at_once(8, one)) == 1


def test_levels_and_kinds_and_incidents_are_called_about_each(ledger: Ledger) -> None:
    for which in (("i-1", "escalation", 1), ("i-1", "escalation", 2), ("i-1", "restore", 1), ("i-2", "escalation", 1)):
        assert ledger.pages.once(*which, ["pagerduty"])
        assert not ledger.pages.once(*which, ["pagerduty"])


def test_a_call_that_did_not_get_through_is_tried_again(place: Place, ledger: Ledger) -> None:
    assert ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])
    ledger.pages.record("i-1", "escalation", 1, "help", "pagerduty", "HTTP 500")
    assert not ledger.pages.once("i-1", "escalation", 1, ["pagerduty"]), "not at once"
    place.turn(AGAIN_AFTER)
    assert sum(at_once(8, lambda _: ledger.pages.once("i-1", "escalation", 1, ["pagerduty"]))) == 1
    ledger.pages.record("i-1", "escalation", 1, "help", "pagerduty", "")
    place.turn(10 * AGAIN_AFTER)
    assert not ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])


def test_what_only_somebody_else_took_is_tried_again(place: Place, ledger: Ledger) -> None:
    """Slack is told everything, and calls nobody."""
    assert ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])
    ledger.pages.record("i-1", "escalation", 1, "help", "slack", "")
    ledger.pages.record("i-1", "escalation", 1, "help", "pagerduty", "HTTP 503")
    place.turn(AGAIN_AFTER)
    assert ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])


def test_pagers_fall_silent_one_by_one_for_whatever_is_over_or_taken(place: Place, ledger: Ledger) -> None:
    def silent(within: timedelta = timedelta(days=1)) -> list[str]:
        return ledger.pages.to_call_off("taken", "resolved", within)

    over, taken, quiet = (ledger.incidents.open(incident(alert=name))[0] for name in ("Over", "Taken", "Quiet"))
    for one in (over, taken, quiet):
        ledger.pages.record(one.id, "escalation", 1, "help", "pagerduty", "")
        ledger.pages.record(one.id, "escalation", 2, "help", "slack", "HTTP 500")
    ledger.pages.record(quiet.id, "escalation", 0, "help", "", "nobody could be told")
    assert silent() == [], "all are open"
    ledger.incidents.close(over.id, ledger.now())
    ledger.incidents.take(taken.id, "ada")
    assert set(silent()) == {over.id, taken.id}
    ledger.pages.record(over.id, "resolved", 1, "over", "pagerduty", "")
    ledger.pages.record(over.id, "resolved", 2, "over", "slack", "HTTP 500")
    ledger.pages.record(taken.id, "taken", 1, "ada", "pagerduty", "")
    ledger.pages.record(taken.id, "taken", 2, "ada", "slack", "")
    assert silent() == [over.id], "one that was called may still ring"
    ledger.pages.record(over.id, "resolved", 2, "over", "slack", "")
    assert silent() == []
    ledger.incidents.close(taken.id, ledger.now())
    assert silent() == [taken.id], "that it is over is another thing"
    place.turn(timedelta(hours=2))
    assert silent(timedelta(hours=1)) == []


def test_who_died_before_the_call_does_not_silence_it(place: Place, ledger: Ledger) -> None:
    assert ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])
    place.turn(AGAIN_AFTER)
    assert ledger.pages.once("i-1", "escalation", 1, ["pagerduty"])


# ---- breaches ------------------------------------------------------------------------------------------------------


def test_a_limit_is_broken_since_it_was_first_seen_so(ledger: Ledger) -> None:
    for minutes in range(3):
        assert ledger.breaches.note("prod", "depth", START + minutes * MINUTE, MINUTE) == START
    assert ledger.breaches.note("other", "depth", START + 3 * MINUTE, MINUTE) == START + 3 * MINUTE
    assert ledger.breaches.note("other", "depth", START + 2 * MINUTE, MINUTE) == START + 2 * MINUTE, "a clock went back"
    ledger.breaches.clear("prod", "depth")
    assert ledger.breaches.note("prod", "depth", START + 3 * MINUTE, MINUTE) == START + 3 * MINUTE


def test_nobody_knows_what_was_while_nobody_looked(ledger: Ledger) -> None:
    ledger.breaches.note("prod", "depth", START, MINUTE)
    assert ledger.breaches.note("prod", "depth", START + 5 * MINUTE, MINUTE) == START + 5 * MINUTE


def test_many_checks_note_one_breach(ledger: Ledger) -> None:
    at_once(8, lambda _: ledger.breaches.note("prod", "depth", START, MINUTE))
    assert ledger.breaches.note("prod", "depth", START + MINUTE, MINUTE) == START
