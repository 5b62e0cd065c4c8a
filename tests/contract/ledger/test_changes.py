"""Changes in the ledger: there before they are made, with their baseline, and with their result after."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.ledger import ChangeState, Ledger
from tasks.model.change import Diff, Purpose, Surroundings
from tests.contract.ledger.places import PUBLISHER, Place, acquire, intend, replicas
from tests.wishes import ORCHESTRATION, Wish


def test_a_change_is_there_before_it_is_made_and_keeps_its_baseline(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5), incident="i-1")
    (record,) = ledger.changes.of_run("run-1")
    assert record.id == number
    assert (record.state, record.before, record.after) == (ChangeState.INTENDED, "replicas 2", "replicas 5")
    assert (record.site, record.incident, record.option) == ("prod", "i-1", "scale out")
    assert (record.target, record.wanted, record.restore) == (ORCHESTRATION, "at least 5", "when the gate holds")
    assert (record.purpose, record.effect, record.detail) == (Purpose.CHANGE, "reversible", "2 now")
    assert record.ended_at is None
    ledger.changes.settle(number, ChangeState.APPLIED, "")
    assert ledger.changes.of_run("run-1")[0].ended_at is None, "applied is not yet the end"
    ledger.changes.settle(number, ChangeState.IN_EFFECT, "5 of 5 pods ready")
    (record,) = ledger.changes.of_incident("i-1")
    assert (record.state, record.detail, record.before) == (ChangeState.IN_EFFECT, "5 of 5 pods ready", "replicas 2")
    assert record.ended_at is not None


def test_changes_keep_their_order_and_their_run(ledger: Ledger) -> None:
    numbers = [intend(ledger, Diff("a", "b"), run) for run in ("run-1", "run-2", "run-1")]
    assert [change.id for change in ledger.changes.of_run("run-1")] == [numbers[0], numbers[2]]
    assert [change.id for change in ledger.changes.of_run("run-2")] == [numbers[1]]


def test_a_change_that_is_made_anew_keeps_its_number(ledger: Ledger) -> None:
    number = intend(ledger, replicas(2, 5))
    assert intend(ledger, replicas(3, 5), again=number) == number
    (record,) = ledger.changes.of_run("run-1")
    assert (record.before, record.after) == ("replicas 3", "replicas 5")


def test_a_change_under_a_lock_is_written_while_it_is_held(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1", ORCHESTRATION, PUBLISHER)
    assert intend(ledger, Diff("a", "b"), held=held)


def test_a_refused_change_says_why_and_is_over(ledger: Ledger) -> None:
    around = Surroundings(group="running tasks")
    diff, why = Diff("a", "b", around=around), "paused: by ada"
    number = ledger.changes.refused("run-1", "i-1", "prod", "scale out", Purpose.CHANGE, Wish(), diff, why)
    (record,) = ledger.changes.of_run("run-1")
    assert (record.id, record.state, record.detail) == (number, ChangeState.REFUSED, why)
    assert (record.before, record.after, record.group) == ("a", "b", "running tasks")
    assert record.ended_at is not None


def test_a_change_may_be_refused_before_its_target_was_read(ledger: Ledger) -> None:
    ledger.changes.refused("run-1", None, "prod", "scale out", Purpose.CHANGE, Wish(), None, "cannot be judged")
    (record,) = ledger.changes.of_run("run-1")
    assert (record.before, record.after) == ("unread", "at least 5")


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (ChangeState.INTENDED, True),
        (ChangeState.APPLIED, True),
        (ChangeState.IN_EFFECT, True),
        (ChangeState.EFFECT_UNKNOWN, True),
        (ChangeState.NOT_NEEDED, False),
        (ChangeState.REFUSED, False),
        (ChangeState.FAILED, False),
    ],
)
def test_what_may_have_arrived_counts(ledger: Ledger, state: ChangeState, counts: bool) -> None:
    since = ledger.now() - timedelta(seconds=1)
    ledger.changes.settle(intend(ledger, replicas(2, 5)), state, "")
    assert ledger.changes.count("prod", since) == counts
    assert len(ledger.changes.of_target("prod", ORCHESTRATION, "replicas", since)) == counts


def test_only_what_is_asked_for_counts(place: Place, ledger: Ledger) -> None:
    intend(ledger, replicas(2, 5))
    place.turn(timedelta(hours=1))
    since = ledger.now() - timedelta(minutes=1)
    mine = intend(ledger, replicas(5, 6))
    intend(ledger, replicas(5, 2), purpose=Purpose.RESTORE)
    intend(ledger, replicas(2, 5), site="other")
    intend(ledger, replicas(2, 5, target=PUBLISHER))
    assert ledger.changes.count("prod", since) == 2
    found = ledger.changes.of_target("prod", ORCHESTRATION, "replicas", since)
    assert [change.purpose for change in found] == [Purpose.CHANGE, Purpose.RESTORE]
    assert found[0].id == mine
    assert ledger.changes.of_target("prod", ORCHESTRATION, "memory", since) == []
