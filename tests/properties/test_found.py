"""What the properties have found, each as the shortest play that shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.model.outcome import Outcome
from tests.properties.ending import complaints, heal
from tests.properties.test_races import Move, gather, move
from tests.properties.theatre import SITE, Theatre
from tests.properties.world import PODS, POOL


@pytest.fixture
def theatre() -> Iterator[Theatre]:
    found = Theatre(trust="act")
    yield found
    found.close()


def test_a_run_that_slept_too_long_changes_nothing_wherever_it_was(theatre: Theatre) -> None:
    """It held no lock yet, so none was lost; the plant had recovered long before it woke up."""
    theatre.world.queue, theatre.world.inflow = 850.0, 19.0
    run = theatre.start(theatre.prefect.new_run("queue-high", {"site": SITE}))
    theatre.host.run_to(run, "before plan")
    theatre.host.stop(run)
    theatre.host.let_pass(7200)
    theatre.host.wake(run)
    theatre.host.run_out(run)
    assert theatre.judge.written == []
    record = theatre.ledger.runs.get(run.id)
    assert record is not None
    assert record.outcome is Outcome.STEPPED_ASIDE
    assert "halted for 72" in (record.verdict or "")


def test_a_short_sleep_is_no_reason_to_give_up(theatre: Theatre) -> None:
    theatre.world.queue, theatre.world.inflow = 850.0, 40.0
    run = theatre.start(theatre.prefect.new_run("queue-high", {"site": SITE}))
    theatre.host.run_to(run, "before plan")
    theatre.host.stop(run)
    theatre.host.let_pass(60)
    theatre.host.wake(run)
    theatre.host.run_out(run)
    assert [write.target for write, _, _ in theatre.judge.written] == [PODS]


def test_what_is_left_carries_the_load_after_each_step_of_giving_back(theatre: Theatre) -> None:
    """More pods and bigger pools are claimed; without either the rest suffices, without both it does not."""
    world = theatre.world
    world.queue, world.inflow = 850.0, 50.5
    theatre.alert("QueueHigh")
    theatre.go_on(2)
    assert (world.things[PODS].value, world.things[POOL].value) == (5, 15)
    world.queue, world.inflow = 0.0, 26.0
    theatre.alert("QueueHigh", "resolved")
    theatre.go_on(4)
    assert (world.things[PODS].value, world.things[POOL].value) == (2, 15)
    heal(theatre)
    assert complaints(theatre) == []


def test_a_suspended_run_that_somebody_cancelled_is_not_waited_for(theatre: Theatre) -> None:
    theatre.world.queue, theatre.world.inflow, theatre.world.hangs = 850.0, 0.05, True
    theatre.alert("QueueHigh")
    theatre.go_on(2)
    (suspended,) = theatre.ledger.runs.suspended()
    theatre.prefect.runs[suspended.id].state = "cancelled"
    heal(theatre)
    assert complaints(theatre) == []


STALE = [
    ("a graver run", [(0, "intended", 0), (2, "before intend", 0)], False),
    ("the same run again", [(0, "before ledger", 0), (1, "runs out", 0)], False),
    ("while it is given back", [(2, "before ledger", 0), (3, "runs out", 0)], True),
]


@pytest.mark.parametrize(("moves", "claimed"), [case[1:] for case in STALE], ids=[case[0] for case in STALE])
def test_what_was_read_before_another_run_wrote_passes_for_no_person_s_value(
    theatre: Theatre, moves: list[Move], claimed: bool
) -> None:
    """The claim of the one that wrote was left to a person, and its value stayed for ever."""
    gather(theatre, claimed)
    for number, how, _ in moves:
        move(theatre, number, how)
    heal(theatre)
    assert complaints(theatre) == []
