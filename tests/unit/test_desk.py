"""The desk: what arrives while it writes is written together, a full desk says so, and one bad alert harms no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from deployments.intake.desk import TOGETHER, Desk, Full
from deployments.intake.handle import Fate, Handled
from deployments.intake.webhook import Alert


def alert(name: str) -> Alert:
    return Alert(status="firing", labels={"alertname": name}, startsAt=datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Slow:
    """Takes alerts in as soon as it is let."""

    let: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)

    def __call__(self, alerts: Sequence[Alert]) -> list[Handled]:
        self.begun.set()
        assert self.let.wait(20)
        names = [one.name for one in alerts]
        self.batches.append(names)
        if "bad" in names:
            raise ValueError("a fault of ours")
        return [Handled(alert=name, fate=Fate.OPENED) for name in names]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def desk(slow: Slow) -> Iterator[Desk]:
    """A desk for five alerts, that is busy with the first one."""
    found = Desk(slow, most_waiting=5)
    found.start()
    found.submit([alert("first")])
    assert slow.begun.wait(20)
    yield found
    slow.let.set()
    found.stop()


def names(answer: Future[list[Handled]]) -> list[str]:
    return [handled.alert for handled in answer.result(20)]


def test_what_arrives_meanwhile_is_taken_in_together_and_everybody_gets_his_own(desk: Desk, slow: Slow) -> None:
    answers = [desk.submit([alert("a")]), desk.submit([alert("b"), alert("c")])]
    slow.let.set()
    assert [names(answer) for answer in answers] == [["a"], ["b", "c"]]
    assert slow.batches == [["first"], ["a", "b", "c"]]


def test_a_full_desk_says_so_and_takes_again_when_it_has_room(desk: Desk, slow: Slow) -> None:
    waiting = [desk.submit([alert(str(number))]) for number in range(4)]
    with pytest.raises(Full, match="5 alerts are waiting"):
        desk.submit([alert("one too many")])
    slow.let.set()
    for answer in waiting:
        answer.result(20)
    desk.stop()
    assert desk.waiting == 0


def test_one_request_that_is_longer_than_the_desk_is_taken_when_nothing_waits(slow: Slow) -> None:
    desk = Desk(slow, most_waiting=2)
    desk.start()
    slow.let.set()
    assert len(names(desk.submit([alert(str(number)) for number in range(TOGETHER + 1)]))) == TOGETHER + 1
    desk.stop()


def test_one_that_fails_keeps_no_other_from_being_taken_in(desk: Desk, slow: Slow) -> None:
    good, bad, other = (desk.submit([alert(name)]) for name in ("good", "bad", "other"))
    slow.let.set()
    assert (names(good), names(other)) == (["good"], ["other"])
    with pytest.raises(ValueError, match="a fault of ours"):
        bad.result(20)
    assert desk.alive


def test_who_does_not_wait_any_more_is_left_out(desk: Desk, slow: Slow) -> None:
    gone, stays = desk.submit([alert("gone")]), desk.submit([alert("stays")])
    gone.cancel()
    slow.let.set()
    assert names(stays) == ["stays"]
    assert slow.batches[-1] == ["stays"]


def test_what_waits_is_taken_in_before_it_ends_and_nothing_after(desk: Desk, slow: Slow) -> None:
    last = desk.submit([alert("last")])
    slow.let.set()
    desk.stop()
    assert names(last) == ["last"]
    with pytest.raises(Full):
        desk.submit([alert("late")])
