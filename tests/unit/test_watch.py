"""The watch beside Prefect: what fails keeps nothing else from its turn."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.intake.watch import Watch
from tasks.sites import Site
from tests.unit.standin import RUNBOOKS
from tests.unit.watching import MINUTE, Outside, World

DUTIES = (
    "_call",
    "_call_off",
    "_bury_the_dead",
    "_start_the_unclaimed",
    "_start_the_left",
    "_answer",
    "_give_back",
    "_call_about_overdue",
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
    found = [name for name in Watch.look.__code__.co_names if name in vars(Watch)]
    assert tuple(name for name in found if name != "sites") == DUTIES


def test_sites_that_cannot_be_read_keep_nobody_from_what_needs_no_site(world: World, outside: Outside) -> None:
    def away() -> list[Site]:
        raise ConnectionError("Prefect does not answer")

    run = world.run()
    world.asks(run)
    world.later(15 * MINUTE)
    Watch(world.ledger, RUNBOOKS, away).look()
    assert [woken for woken, _, _ in outside.woken] == [run]


def test_a_watch_stops_when_it_is_told_to(world: World) -> None:
    one = world.watches[0]
    one.start()
    one.stop()
    assert one._thread is not None
    assert not one._thread.is_alive()
