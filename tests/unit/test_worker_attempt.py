"""A run at work: who may end it, and when its process is killed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Completed, Running

from deployments.worker.attempt import END_SECONDS, Attempt, tell
from deployments.worker.endings import Cause, Ending
from deployments.worker.orders import Word
from tests.unit.clocks import Steady

SILENT, LONGEST = 90.0, 7200.0


class Process:
    """A process that is only killed."""

    pid = 4711

    def __init__(self) -> None:
        self.killed = False

    def kill(self) -> None:
        self.killed = True


class Spoken:
    """A child that hears what is said to it."""

    def __init__(self, now: float) -> None:
        self.process = Process()
        self.heard_at = now
        self.done_at: float | None = None
        self.handed = True
        self.heard: list[Word] = []

    def say(self, word: Word) -> None:
        self.heard.append(word)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Steady:
    return Steady(monkeypatch)


@pytest.fixture
def child(clock: Steady) -> Any:
    return Spoken(1000.0)


@pytest.fixture
def attempt(child: Any) -> Attempt:
    return Attempt(FlowRun(id=uuid.uuid4(), name="a run", flow_id=uuid.uuid4()), child, began=1000.0)


def look(attempt: Attempt, child: Any) -> bool:
    """Whether a look at the process kills it."""
    attempt.look(SILENT, LONGEST)
    return bool(child.process.killed)


def test_a_process_that_gives_signs_of_life_is_left_alone(attempt: Attempt, child: Any, clock: Steady) -> None:
    for _ in range(70):
        clock.forward(100)
        child.heard_at += 100
        assert not look(attempt, child)


def test_a_silent_process_is_killed(attempt: Attempt, child: Any, clock: Steady) -> None:
    clock.forward(SILENT)
    assert not look(attempt, child)
    clock.forward(1)
    assert look(attempt, child)
    assert (attempt.cause, attempt.detail) == (Cause.HUNG, "gave no sign of life for 91 s")


def test_a_spare_that_waited_for_long_and_is_about_to_get_its_order_is_left_alone(
    attempt: Attempt, child: Any, clock: Steady
) -> None:
    child.handed = False
    clock.forward(LONGEST + SILENT)
    assert not look(attempt, child)
    child.handed = True
    assert look(attempt, child)


def test_a_run_that_takes_too_long_is_killed_although_its_process_lives(
    attempt: Attempt, child: Any, clock: Steady
) -> None:
    clock.forward(LONGEST + 1)
    child.heard_at += LONGEST + 1
    assert look(attempt, child)
    assert (attempt.cause, attempt.detail) == (Cause.TOO_LONG, "was at work for 7201 s")


def test_a_run_that_is_told_to_end_has_its_time_and_is_then_killed(attempt: Attempt, child: Any, clock: Steady) -> None:
    attempt.end(Cause.CANCELLED)
    assert child.heard == [Word.CANCEL]
    clock.forward(END_SECONDS)
    assert not look(attempt, child)
    clock.forward(1)
    assert look(attempt, child)
    assert attempt.cause is Cause.CANCELLED


def test_it_is_told_once_and_the_first_cause_counts(attempt: Attempt, child: Any) -> None:
    attempt.end(Cause.CANCELLED)
    attempt.end(Cause.STOPPED)
    assert child.heard == [Word.CANCEL]
    assert attempt.cause is Cause.CANCELLED


def test_a_worker_that_stops_says_so(attempt: Attempt, child: Any) -> None:
    attempt.end(Cause.STOPPED)
    assert child.heard == [Word.STOP]


def test_a_run_that_is_over_is_not_told_to_end_and_its_process_has_a_while(
    attempt: Attempt, child: Any, clock: Steady
) -> None:
    child.done_at = 1000.0
    attempt.end(Cause.CANCELLED)
    assert child.heard == []
    assert attempt.cause is Cause.ITSELF
    clock.forward(END_SECONDS)
    assert not look(attempt, child)
    clock.forward(1)
    assert look(attempt, child)
    assert attempt.cause is Cause.ITSELF, "the run has ended well; only its process did not"


# ---- telling Prefect -----------------------------------------------------------------------------------------------


class Prefect:
    """A Prefect server that knows one run, and does not answer at first."""

    def __init__(self, state: State | None, process: str | None = "host:4711", silent: int = 0) -> None:
        self.run = FlowRun(id=uuid.uuid4(), name="a run", flow_id=uuid.uuid4(), state=state, infrastructure_pid=process)
        self.silent = silent
        self.told: list[State] = []

    async def read(self, run: UUID) -> FlowRun | None:
        if self.silent:
            self.silent -= 1
            raise httpx.ConnectError("refused")
        return self.run if run == self.run.id else None

    async def tell(self, run: UUID, state: State) -> None:
        self.told.append(state)


def tell_end(server: Any, monkeypatch: pytest.MonkeyPatch, code: int = -9) -> list[StateType]:
    monkeypatch.setattr("deployments.worker.server.ASK_AGAIN_SECONDS", 0)
    asyncio.run(tell(server, server.run.id, {None, "host:4711"}, Ending(Cause.ITSELF, code, 4711), "w1"))
    return [state.type for state in server.told]


def test_a_crash_is_told_when_prefect_can_be_reached_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell_end(Prefect(Running(), silent=3), monkeypatch) == [StateType.CRASHED]


def test_a_run_whose_process_was_not_written_down_yet_is_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell_end(Prefect(Running(), process=None), monkeypatch) == [StateType.CRASHED]


def test_a_run_that_another_process_executes_by_now_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell_end(Prefect(Running(), process="other:99"), monkeypatch) == []


def test_an_end_that_prefect_knows_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell_end(Prefect(Completed()), monkeypatch) == []
