"""Retention: what is over and old goes with all that belongs to it; what is open stays, however old it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.ledger import Answer, Approval, ClaimState, Evidence, Ledger, retention
from tasks.ledger.archive import count
from tasks.ledger.pages import about_claim
from tasks.ledger.retention import prune
from tasks.model.change import Diff, Purpose
from tasks.model.outcome import Outcome
from tests.contract.ledger.places import START, Place, acquire, at_least, incident, intend, replicas, run

DAY = timedelta(days=1)


def treat(ledger: Ledger, alert: str = "HighTaskQueueDepth", run_id: str = "run-1") -> str:
    """An incident and a run that is done with it, with everything that a run leaves."""
    raised, _ = ledger.incidents.open(incident(alert=alert))
    ledger.runs.begin(run(run_id, incident=raised.id))
    ledger.runs.note(run_id, "saw", "x")
    ledger.runs.saw(run_id, [Evidence(run_id, 1, "depth", "850", "prometheus", 0.1, START)])
    ledger.claims.confirm(intend(ledger, replicas(2, 5, at_least(5)), run_id, incident=raised.id))
    ledger.claims.end([claim.id for claim in ledger.claims.of_run(run_id)], ClaimState.RELEASED, "over")
    now = ledger.now()
    ledger.approvals.ask(Approval(alert, run_id, raised.id, "prod", "x", (), Answer.ASKED, now, now))
    ledger.pages.once(raised.id, "escalation", 1, ["pagerduty"])
    ledger.pages.record(raised.id, "escalation", 1, "help", "slack", "")
    for claim in ledger.claims.of_run(run_id):
        ledger.pages.once(about_claim(claim.id), "restore overdue", 1, ["pagerduty"])
        ledger.pages.record(about_claim(claim.id), "restore overdue", 1, "help", "slack", "")
    ledger.runs.end(run_id, Outcome.RECOVERED, "", {})
    return raised.id


def left(ledger: Ledger) -> dict[str, int]:
    """The tables that are not empty."""
    return {table: rows for table, rows in count(ledger).items() if rows}


def test_what_is_over_and_old_goes_with_all_that_belongs_to_it(place: Place, ledger: Ledger) -> None:
    id = treat(ledger)
    ledger.incidents.close(id, ledger.now())
    there = left(ledger)
    assert prune(ledger, DAY) == {}, "it is young"
    place.turn(2 * DAY)
    assert prune(ledger, DAY) == there
    assert left(ledger) == {}
    assert prune(ledger, DAY) == {}


def test_an_open_incident_keeps_everything(place: Place, ledger: Ledger) -> None:
    treat(ledger)
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}


def test_a_run_that_has_not_ended_keeps_its_incident(place: Place, ledger: Ledger) -> None:
    id = treat(ledger)
    ledger.runs.begin(run("run-2", incident=id))
    ledger.incidents.close(id, ledger.now())
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}
    ledger.runs.end("run-2", Outcome.RECOVERED, "", {})
    assert prune(ledger, DAY) == {}, "an incident goes with all its runs, and one of them is young"
    place.turn(2 * DAY)
    prune(ledger, DAY)
    assert left(ledger) == {}


def test_a_claim_in_force_keeps_its_run_and_incident(place: Place, ledger: Ledger) -> None:
    id = treat(ledger)
    number = intend(ledger, replicas(2, 5, at_least(5)), incident=id)
    ledger.claims.confirm(number)
    ledger.incidents.close(id, ledger.now())
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}
    (held,) = ledger.claims.holdings()
    ledger.claims.end([claim.id for claim in held.claims], ClaimState.RELEASED, "over")
    prune(ledger, DAY)
    assert left(ledger) == {}


def test_what_was_done_for_an_open_incident_is_kept(place: Place, ledger: Ledger) -> None:
    """By a run that gives back, and belongs to no incident itself."""
    id = treat(ledger)
    ledger.runs.begin(run("restore"))
    intend(ledger, Diff("5", "2"), "restore", incident=id, purpose=Purpose.RESTORE)
    ledger.runs.end("restore", Outcome.RECOVERED, "", None)
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}
    ledger.incidents.close(id, ledger.now() - 2 * DAY)
    prune(ledger, DAY)
    assert left(ledger) == {}


def test_a_run_without_an_incident_goes_too(place: Place, ledger: Ledger) -> None:
    ledger.runs.begin(run("by hand"))
    ledger.pages.once("by hand", "crashed", 1, ["pagerduty"])
    ledger.runs.end("by hand", Outcome.OBSERVED, "", {})
    ledger.runs.begin(run("still running"))
    place.turn(2 * DAY)
    assert prune(ledger, DAY) == {"run": 1, "page_turn": 1}
    assert [found.id for found in ledger.runs.latest()] == ["still running"]


def test_a_run_without_an_incident_is_kept_by_its_claim(place: Place, ledger: Ledger) -> None:
    ledger.runs.begin(run("by hand"))
    ledger.claims.confirm(intend(ledger, replicas(2, 5, at_least(5)), "by hand"))
    ledger.runs.end("by hand", Outcome.RECOVERED, "", {})
    ledger.runs.begin(run("gives back"))
    intend(ledger, replicas(5, 2), "gives back", purpose=Purpose.RESTORE)
    ledger.runs.end("gives back", Outcome.NOT_RECOVERED, "", {})
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}, "a claim is in force, and what the other one wrote may be what is there"
    ledger.claims.end([claim.id for claim in ledger.claims.of_run("by hand")], ClaimState.LEFT, "")
    prune(ledger, DAY)
    assert left(ledger) == {}


def test_locks_and_pauses_are_no_history(place: Place, ledger: Ledger) -> None:
    """An epoch must not come again."""
    acquire(ledger, "run-1")
    ledger.locks.release("run-1")
    ledger.pauses.pause("prod", "a release", "ada")
    place.turn(100 * DAY)
    assert prune(ledger, DAY) == {}
    assert acquire(ledger, "run-2")[0].epoch == 2


def test_much_goes_in_batches(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for number in range(5):
        ledger.incidents.close(treat(ledger, f"alert-{number}", f"run-{number}"), ledger.now())
    place.turn(2 * DAY)
    gone = prune(ledger, DAY)
    assert (gone["incident"], gone["run"], gone["change"]) == (5, 5, 5)
    assert left(ledger) == {}
