"""Locks in the ledger: one holder at a time, graver ones take over, and an epoch never comes again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from tasks.ledger import LEASE, Busy, Held, Ledger, LockLost
from tasks.model.change import Diff
from tasks.model.outcome import Severity
from tests.contract.ledger.places import PUBLISHER, Place, acquire, at_once, intend
from tests.wishes import ORCHESTRATION

EXPIRED = LEASE + timedelta(seconds=1)


def test_a_lock_says_who_has_the_target(ledger: Ledger) -> None:
    (held,) = acquire(ledger, "run-1")
    assert held == Held("prod", ORCHESTRATION, 1)
    lock = ledger.locks.of("prod", ORCHESTRATION)
    assert lock is not None
    assert (lock.run, lock.runbook, lock.severity, lock.epoch) == ("run-1", "high_task_queue_depth", "warning", 1)
    assert timedelta(0) < lock.expires_at - ledger.now() <= LEASE
    assert ledger.locks.all() == ledger.locks.of_run("run-1") == [lock]
    assert ledger.locks.of("other", ORCHESTRATION) is None


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.INFO])
def test_who_is_not_graver_is_turned_away(ledger: Ledger, severity: Severity) -> None:
    acquire(ledger, "run-1")
    with pytest.raises(Busy, match=r"high_task_queue_depth \(warning, run run-1\) has deployment bus/orchestration"):
        acquire(ledger, "run-2", severity=severity)
    assert [lock.run for lock in ledger.locks.all()] == ["run-1"]


def test_all_targets_or_none(ledger: Ledger) -> None:
    acquire(ledger, "run-1", PUBLISHER)
    with pytest.raises(Busy):
        acquire(ledger, "run-2", ORCHESTRATION, PUBLISHER)
    assert ledger.locks.of("prod", ORCHESTRATION) is None


def test_a_graver_run_takes_over_and_the_other_finds_out(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1")
    (taken,) = acquire(ledger, "run-2", severity=Severity.CRITICAL, runbook="bus_down")
    assert taken.epoch == 2
    assert not ledger.locks.renew(held, "run-1")
    with pytest.raises(LockLost, match="bus_down") as lost:
        ledger.locks.check(held, "run-1")
    assert lost.value.lock == ledger.locks.of("prod", ORCHESTRATION)
    with pytest.raises(LockLost):
        intend(ledger, Diff("a", "b"), "run-1", held=held)
    assert ledger.changes.of_run("run-1") == []


def test_the_same_run_keeps_its_epoch(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1")
    assert acquire(ledger, "run-1", ORCHESTRATION, PUBLISHER)[0] == held[0]


def test_the_same_site_is_meant(ledger: Ledger) -> None:
    acquire(ledger, "run-1")
    assert acquire(ledger, "run-2", site="other")


def test_a_lease_that_ran_out_frees_the_target(place: Place, ledger: Ledger) -> None:
    held = acquire(ledger, "run-1")
    place.turn(EXPIRED)
    assert ledger.locks.of("prod", ORCHESTRATION) is None
    assert ledger.locks.all() == ledger.locks.of_run("run-1") == []
    with pytest.raises(LockLost, match="lease ran out") as lost:
        ledger.locks.check(held, "run-1")
    assert lost.value.lock is None
    assert not ledger.locks.renew(held, "run-1"), "who slept through its lease is told so"
    with pytest.raises(LockLost):
        intend(ledger, Diff("a", "b"), "run-1", held=held)
    assert acquire(ledger, "run-2")[0].epoch == 2


def test_a_lease_that_is_renewed_goes_on(place: Place, ledger: Ledger) -> None:
    held = acquire(ledger, "run-1", ORCHESTRATION, PUBLISHER)
    for _ in range(3):
        place.turn(LEASE * 2 / 3)
        assert ledger.locks.renew(held, "run-1")
    ledger.locks.check(held, "run-1")


def test_losing_one_of_several_is_losing(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1", ORCHESTRATION, PUBLISHER)
    acquire(ledger, "run-2", PUBLISHER, severity=Severity.CRITICAL)
    assert not ledger.locks.renew(held, "run-1")


def test_an_epoch_never_comes_again(ledger: Ledger) -> None:
    held = acquire(ledger, "run-1")
    ledger.locks.release("run-1")
    assert ledger.locks.all() == []
    with pytest.raises(LockLost):
        ledger.locks.check(held, "run-1")
    (again,) = acquire(ledger, "run-1")
    assert again.epoch == 2
    with pytest.raises(LockLost):
        ledger.locks.check(held, "run-1")


def test_who_lost_a_target_gives_back_only_what_is_left(ledger: Ledger) -> None:
    acquire(ledger, "run-1", ORCHESTRATION, PUBLISHER)
    acquire(ledger, "run-2", PUBLISHER, severity=Severity.CRITICAL)
    ledger.locks.release("run-1")
    assert [(lock.run, lock.target) for lock in ledger.locks.all()] == [("run-2", PUBLISHER)]


# ---- many at once --------------------------------------------------------------------------------------------------


def test_one_of_many_gets_the_lock(place: Place) -> None:
    def one(number: int) -> bool:
        with closing(place.open()) as own:
            try:
                acquire(own, f"run-{number}", ORCHESTRATION, PUBLISHER)
            except Busy:
                return False
            return True

    assert sum(at_once(8, one)) == 1


def test_each_epoch_has_exactly_one_holder(ledger: Ledger) -> None:
    """Runs take two targets, named in either order, and give them back, all at once: nobody waits for ever."""
    had: list[tuple[str, int, str]] = []

    def one(number: int) -> None:
        targets = (ORCHESTRATION, PUBLISHER)[:: 1 if number % 2 else -1]
        for turn in range(4):
            run = f"run-{number}-{turn}"
            try:
                held = acquire(ledger, run, *targets, severity=list(Severity)[(number + turn) % 3])
            except Busy:
                continue
            had.extend((one.target.name, one.epoch, run) for one in held)
            ledger.locks.release(run)

    at_once(8, one)
    assert had
    assert len({(target, epoch) for target, epoch, _ in had}) == len(had)


def test_no_intent_is_written_under_a_lost_epoch(place: Place) -> None:
    """A run writes as fast as it can while a graver one takes over. What it wrote, it wrote before."""
    with closing(place.open()) as ledger, closing(place.open()) as other:
        for turn in range(3):
            lesser, graver = f"lesser-{turn}", f"graver-{turn}"
            held, begun = acquire(ledger, lesser), threading.Event()
            with ThreadPoolExecutor(2) as pool:
                last = pool.submit(_write_until_lost, ledger, lesser, held, begun)
                first = pool.submit(_take_over, other, graver, begun)
                assert 0 < last.result() < first.result()
            other.locks.release(graver)


def _write_until_lost(ledger: Ledger, run: str, held: list[Held], begun: threading.Event) -> int:
    number = 0
    while True:
        try:
            number = intend(ledger, Diff("a", "b"), run, held=held)
        except LockLost:
            return number
        begun.set()


def _take_over(ledger: Ledger, run: str, begun: threading.Event) -> int:
    assert begun.wait(10)
    held = acquire(ledger, run, severity=Severity.CRITICAL)
    return intend(ledger, Diff("a", "b"), run, held=held)
