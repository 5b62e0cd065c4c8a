"""The watch beside Prefect: what fails keeps nothing else from its turn."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from deployments.intake.watch import Watch
from tests.unit.standin import RUNBOOKS
from tests.unit.watching import MINUTE, Outside, World

DUTIES = (
    "_call",
    "_call_off",
    "_call_about_the_dead",
    "_call_about_overdue",
    "_bury_the_dead",
    "_start_the_unclaimed",
    "_start_the_left",
    "_answer",
    "_give_back",
)


def test_nothing_happens_when_there_is_nothing_to_do(world: World, outside: Outside) -> None:
    world.look()
    assert outside == Outside()


@pytest.mark.parametrize("failing", DUTIES)
def test_a_duty_that_fails_keeps_no_other_from_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    done: list[str] = []

    def duty(name: str) -> Any:
        def work(self: Watch, sites: object) -> None:
            done.append(name)
            if name == failing:
                raise ConnectionError("the server is away")

        work.__name__ = name
        return work

    for name in DUTIES:
        monkeypatch.setattr(Watch, name, duty(name))
    world.watches[0].look()
    assert done == list(DUTIES)


def test_the_duties_of_this_test_are_all_there_are() -> None:
    names = (*Watch.look_for_people.__code__.co_names, *Watch.look_for_prefect.__code__.co_names)
    assert tuple(name for name in names if callable(vars(Watch).get(name)) and name != "_look") == DUTIES


def test_what_needs_no_site_is_done_while_none_is_known(world: World, outside: Outside) -> None:
    run = world.run()
    world.asks(run)
    world.later(15 * MINUTE)
    Watch(world.ledger, RUNBOOKS, list).look()
    assert [woken for woken, _, _ in outside.woken] == [run]


def test_a_prefect_that_hangs_keeps_nobody_from_being_called(world: World, outside: Outside) -> None:
    hangs, called = threading.Event(), threading.Event()

    def wait() -> None:
        hangs.wait(60)

    one = Watch(world.ledger, RUNBOOKS, list, with_people=[called.set], with_prefect=[wait])
    one.start()
    try:
        assert called.wait(20)
    finally:
        hangs.set()
        one.stop()


def test_a_watch_stops_when_it_is_told_to(world: World) -> None:
    one = world.watches[0]
    one.start()
    assert one.alive
    one.stop()
    assert not one.alive
