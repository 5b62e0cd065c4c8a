"""Alerts that nobody knows, the sites as they were known last, and what was counted: on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.ledger import Answer, Approval, ClaimState, Ledger
from tasks.ledger import strays as strays_module
from tasks.ledger.figures import figures
from tasks.ledger.retention import prune
from tasks.model.claim import Bound, Claim
from tasks.model.escalation import NoticeKind
from tasks.model.outcome import Outcome
from tasks.model.site import Address, SideEffect
from tests.contract.ledger.places import PUBLISHER, START, Place, at_least, incident, intend, replicas, run, stray

MINUTE = timedelta(minutes=1)


def test_a_stray_comes_back_as_it_was_written_and_is_counted(ledger: Ledger) -> None:
    first = stray()
    ledger.strays.note([first])
    assert ledger.strays.all() == [first]
    later = replace(first, summary="stranger", first_at=first.first_at + MINUTE, last_at=first.last_at + MINUTE)
    ledger.strays.note([later])
    assert ledger.strays.all() == [replace(later, first_at=first.first_at, times=2)]


def test_one_that_is_over_is_no_longer_firing_and_may_fire_again(ledger: Ledger) -> None:
    first = stray()
    ledger.strays.note([replace(first, resolved_at=START)])
    assert ledger.strays.all() == [], "what was never seen firing is nothing to keep"
    ledger.strays.note([first, stray("Other")])
    ledger.strays.note([replace(first, resolved_at=START)])
    assert [one.alert for one in ledger.strays.firing()] == ["Other"]
    assert len(ledger.strays.all()) == 2
    ledger.strays.note([replace(first, started_at=START + MINUTE)])
    assert len(ledger.strays.firing()) == 2
    (again,) = (one for one in ledger.strays.firing() if one.key == first.key)
    assert again.started_at == START + MINUTE, "it began anew"


def test_a_flood_of_them_pushes_the_oldest_out(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays_module, "MOST", 3)
    ledger.strays.note([stray("Silent", explained_by=7)])
    for number in range(5):
        one = stray(f"Strange{number}")
        ledger.strays.note([replace(one, last_at=one.last_at + number * MINUTE)])
    assert [one.alert for one in ledger.strays.all()] == ["Strange4", "Strange3", "Strange2", "Silent"]


def test_taken_off_with_those_that_were_over_by_then(ledger: Ledger) -> None:
    on, over, other = stray("On"), stray("Over"), stray("Other")
    ledger.strays.note([on, over, other])
    ledger.strays.note([replace(over, resolved_at=START)])
    assert ledger.strays.take_off([on.key, over.key]) == {over.key}
    assert [one.alert for one in ledger.strays.all()] == ["Other"]
    assert ledger.strays.take_off([]) == set()


def test_forgotten_and_pruned(place: Place, ledger: Ledger) -> None:
    ledger.strays.note([stray("A"), stray("B")])
    assert ledger.strays.forget([stray("A").key]) == 1
    assert prune(ledger, timedelta(days=1)) == {}
    place.turn(timedelta(days=2))
    assert prune(ledger, timedelta(days=1)) == {"stray": 1}


def test_the_directory_is_replaced_as_a_whole_and_keeps_what_was_heard(ledger: Ledger) -> None:
    bus, other = Address("prod", "message-bus", {"namespace": "bus"}), Address("stage", "message-bus", {})
    ledger.directory.keep([bus, other])
    ledger.directory.heard("prod", START)
    ledger.directory.heard("prod", START + MINUTE)
    ledger.directory.heard("nobody", START)
    effect = SideEffect("Silent", ("publisher",), ("replicas",), Bound.AT_MOST, "deployment", 600.0)
    changed = Address("prod", "message-bus", {"namespace": "bus-2"}, (effect,))
    ledger.directory.keep([changed])
    (only,) = ledger.directory.all()
    assert (only.address, only.heard_before, only.heard_at) == (changed, START, START + MINUTE)
    ledger.directory.keep([])
    assert ledger.directory.all() == []


def test_the_claims_in_force_since_then(ledger: Ledger) -> None:
    before = ledger.now()
    paused = replicas(2, 0, Claim(Bound.AT_MOST, 0), PUBLISHER)
    ledger.claims.confirm(intend(ledger, replicas(2, 5, at_least(5)), run="run-1"))
    ledger.claims.confirm(intend(ledger, paused, run="run-2"))
    given_back = [one.id for one in ledger.claims.of_run("run-2")]
    ledger.claims.end(given_back, ClaimState.RELEASED, "given back")
    assert [one.run for one in ledger.claims.in_force_since("prod", before)] == ["run-1", "run-2"]
    assert [one.run for one in ledger.claims.in_force_since("prod", ledger.now() + MINUTE)] == ["run-1"]
    assert ledger.claims.in_force_since("stage", before) == []


def test_figures(place: Place, ledger: Ledger) -> None:
    waiting, _ = ledger.incidents.open(incident())
    place.turn(MINUTE)
    in_hand, _ = ledger.incidents.open(incident(alert="B", received_at=ledger.now()))
    taken, _ = ledger.incidents.open(incident(alert="C", received_at=ledger.now()))
    ledger.incidents.take(taken.id, "ada")
    ledger.runs.begin(run("run-1", incident=in_hand.id))
    ledger.incidents.claim(in_hand.id, "run-1")
    ledger.claims.confirm(intend(ledger, replicas(2, 5, at_least(5)), incident=in_hand.id))
    now = ledger.now()
    ledger.approvals.ask(
        Approval("k", "run-1", in_hand.id, "prod", "high_task_queue_depth", (), Answer.ASKED, now, now)
    )
    ledger.pages.record(waiting.id, NoticeKind.RESPONSE_DUE.value, 1, "help", "slack", "")
    ledger.pages.record(waiting.id, NoticeKind.RESPONSE_DUE.value, 1, "help", "", "no contacts")
    ledger.runs.begin(run("run-2"))
    ledger.runs.end("run-2", Outcome.RECOVERED, "fine", None)
    ledger.runs.begin(run("run-3"))
    ledger.runs.crashed("run-3")
    ledger.strays.note([stray(), stray("Silent", explained_by=7)])
    found = figures(ledger)
    runbook = "high_task_queue_depth"
    assert found.incidents == {(runbook, "waiting"): 1, (runbook, "in hand"): 1, (runbook, "taken"): 1}
    assert 55 < found.oldest_unclaimed_seconds < 80
    assert found.claims == {(runbook, "yes"): 1}, "it was to be given back long ago"
    assert found.approvals == {(runbook,): 1}
    assert (found.strays, found.held_back) == (1, 1)
    assert found.runs == {(runbook, "Recovered"): 1, (runbook, "Crashed"): 1}
    assert found.changes == {("intended",): 1}
    assert found.pages == {("response time running out", "yes"): 1, ("response time running out", "no"): 1}
