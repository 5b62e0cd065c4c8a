"""How a process ended, and what Prefect is told."""

from __future__ import annotations

import signal
from uuid import uuid4

import pytest
from prefect import State
from prefect.client.schemas.objects import StateDetails, StateType
from prefect.states import (
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    Suspended,
)

from deployments.worker.endings import Cause, Ending, to_be_told


def told(
    state: State, code: int | None = -signal.SIGKILL, cause: Cause = Cause.ITSELF, detail: str = ""
) -> State | None:
    return to_be_told(Ending(cause, code, 4711, detail), state, "w1")


@pytest.mark.parametrize(
    "state", [Completed(), Failed(), Crashed(), Cancelled(), Paused(), Suspended(), Scheduled(), AwaitingRetry()]
)
@pytest.mark.parametrize("cause", list(Cause))
def test_a_run_that_has_said_how_it_stands_is_left_as_it_is(state: State, cause: Cause) -> None:
    assert told(state, cause=cause) is None


def test_a_run_that_was_deleted_is_not_spoken_of() -> None:
    assert to_be_told(Ending(Cause.ITSELF, 1, 4711), None, "w1") is None


@pytest.mark.parametrize(
    ("code", "cause", "detail", "message"),
    [
        (
            -9,
            Cause.ITSELF,
            "",
            "the process 4711 was ended by SIGKILL (by a person, or by the kernel when memory ran out)",
        ),
        (-11, Cause.ITSELF, "", "the process 4711 was ended by SIGSEGV (a fault in native code)"),
        (-10, Cause.ITSELF, "", "the process 4711 was ended by SIGUSR1"),
        (-99, Cause.ITSELF, "", "the process 4711 was ended by signal 99"),
        (3, Cause.ITSELF, "", "the process 4711 ended with exit code 3 without saying how the run ended"),
        (0, Cause.ITSELF, "", "the process 4711 ended with exit code 0 without saying how the run ended"),
        (None, Cause.ITSELF, "", "the process 4711 ended"),
        (
            -9,
            Cause.HUNG,
            "gave no sign of life for 91 s",
            "the process 4711 gave no sign of life for 91 s, and was killed",
        ),
        (
            -9,
            Cause.TOO_LONG,
            "was at work for 7200 s",
            "the process 4711 was at work for 7200 s, longer than any run may be, and was killed",
        ),
        (None, Cause.LEFT, "", "the worker of this run was killed, and its process 4711 ended before the run did"),
    ],
)
@pytest.mark.parametrize("state", [Pending(), Running()])
def test_a_process_that_ended_without_a_word_is_a_crash_that_says_how(
    state: State, code: int | None, cause: Cause, detail: str, message: str
) -> None:
    crashed = told(state, code, cause, detail)
    assert crashed is not None
    assert (crashed.type, crashed.message) == (StateType.CRASHED, message)


@pytest.mark.parametrize("state", [Pending(), Running(), Cancelling()])
def test_a_run_that_a_person_cancelled_is_cancelled_however_its_process_ended(state: State) -> None:
    cancelled = told(state, cause=Cause.CANCELLED)
    assert cancelled is not None
    assert cancelled.type is StateType.CANCELLED


@pytest.mark.parametrize("cause", [Cause.ITSELF, Cause.HUNG, Cause.STOPPED, Cause.LEFT])
def test_a_run_that_is_to_be_cancelled_is_cancelled_when_its_process_has_ended(cause: Cause) -> None:
    cancelled = told(Cancelling(), cause=cause)
    assert cancelled is not None
    assert cancelled.type is StateType.CANCELLED


def test_a_run_of_a_worker_that_stops_goes_on_at_the_next_one() -> None:
    again = told(Running(), code=0, cause=Cause.STOPPED)
    assert again is not None
    assert (again.type, again.name) == (StateType.SCHEDULED, "AwaitingRetry")
    assert again.message == "the worker 'w1' was stopped: the next one goes on with this run"


def test_a_run_that_holds_a_slot_of_its_deployment_is_not_kept_out_by_itself() -> None:
    holding: State = Running(state_details=StateDetails(deployment_concurrency_lease_id=uuid4()))
    crashed = told(holding, code=0, cause=Cause.STOPPED)
    assert crashed is not None
    assert crashed.type is StateType.CRASHED
