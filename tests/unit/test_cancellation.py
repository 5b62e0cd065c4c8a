"""A run that is told to end before it is over: what it is writing is seen through, and nothing else is begun."""

from __future__ import annotations

import signal
import threading
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import State
from prefect._internal import control_listener
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.states import Cancelling, Running

from tasks import cancellation
from tasks.cancellation import noting_cancellation
from tasks.case import Planned
from tasks.ledger import ChangeState, RunRecord
from tasks.making import Making
from tasks.model.outcome import Outcome
from tasks.model.refusal import Refusal
from tests.unit.inline import InlineCase, inline_case
from tests.unit.standin import Number, at_least

PATIENCE = 10.0


def told_to_end() -> None:
    """What the signal handler of Prefect's engine does in the main thread."""
    raise TerminationSignal(signal=signal.SIGTERM)


def test_a_write_under_way_is_seen_through_before_the_locks_are_given_back(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[tuple[list[int], ChangeState]] = []

    def slow(number: Number) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    def let_go() -> None:
        (change,) = case.ledger.changes.of_run("run-1")
        seen.append((list(number.writes), change.state))

    monkeypatch.setattr(case, "let_go", let_go)
    number = Number(before_write=[slow])
    change = at_least(number)
    making = Making(case, "scale out", Planned(change, change.diff(), None, ""))
    task = threading.Thread(target=making.attempt)

    def end_while_it_writes() -> None:
        task.start()
        assert begun.wait(PATIENCE)
        threading.Timer(0.2, go_on.set).start()
        told_to_end()

    with pytest.raises(TerminationSignal), case.at_work():
        end_while_it_writes()
    task.join(PATIENCE)
    assert seen[0][0] == [5]
    assert seen[0][1] in (ChangeState.APPLIED, ChangeState.IN_EFFECT)


def test_a_run_that_is_told_to_end_begins_no_change(case: InlineCase) -> None:
    number = Number()
    change = at_least(number)
    with pytest.raises(TerminationSignal), case.at_work():
        told_to_end()
    making = Making(case, "scale out", Planned(change, change.diff(), None, ""))
    making.attempt()
    assert number.writes == []
    assert making.refused is not None
    assert (making.refused.refusal, making.refused.detail) == (Refusal.SUPERSEDED, "this run was told to end")


def test_the_locks_are_given_back_however_the_block_ends(case: InlineCase) -> None:
    for end in (lambda: None, told_to_end, lambda: 1 / 0):
        try:
            with case.at_work():
                case.hold()
                assert case.ledger.locks.of_run("run-1")
                end()
        except (TerminationSignal, ZeroDivisionError):
            pass
        assert case.ledger.locks.of_run("run-1") == []


# ---- who ended it --------------------------------------------------------------------------------------------------

RUN = "00000000-0000-0000-0000-000000000001"


class Prefect:
    """A Prefect server that says how the run stands, or does not answer."""

    def __init__(self, state: State | None) -> None:
        self._state = state

    def __enter__(self) -> Prefect:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def read_flow_run(self, run: object) -> Any:
        if self._state is None:
            raise httpx.ConnectError("refused")
        return type("Run", (), {"state": self._state})


def after_its_end(monkeypatch: pytest.MonkeyPatch, state: State | None) -> RunRecord:
    """What the ledger has of a run that was told to end while Prefect said so of it, or did not answer."""
    monkeypatch.setattr(cancellation, "get_client", lambda sync_client: Prefect(state))
    case = inline_case(monkeypatch, run=RUN)
    with pytest.raises(TerminationSignal), noting_cancellation(case.ledger, RUN):
        told_to_end()
    record = case.ledger.runs.get(RUN)
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(Cancelling(), Outcome.CANCELLED), (Running(), None), (None, None)],
    ids=["person", "stop", "?"],
)
def test_only_a_run_that_a_person_cancelled_is_over(
    monkeypatch: pytest.MonkeyPatch, state: State | None, outcome: Outcome | None
) -> None:
    """Any other is taken for dead when its lease runs out, and its incident is picked up."""
    record = after_its_end(monkeypatch, state)
    assert record.outcome is outcome
    assert (record.ended_at is not None) == (outcome is not None)


@pytest.mark.parametrize(
    ("intent", "outcome"), [("cancel", Outcome.CANCELLED), ("relinquish", None)], ids=["person", "stop"]
)
def test_what_the_worker_said_counts_also_when_prefect_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, intent: Any, outcome: Outcome | None
) -> None:
    monkeypatch.setattr(control_listener, "_intent", intent)
    assert after_its_end(monkeypatch, None).outcome is outcome


def test_a_run_that_was_deleted_was_not_cancelled_as_far_as_we_know(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deleted(Prefect):
        def read_flow_run(self, run: object) -> Any:
            raise ObjectNotFound(Exception("404"))

    monkeypatch.setattr(cancellation, "get_client", lambda sync_client: Deleted(None))
    assert not cancellation.cancelled(UUID(RUN))


def test_any_other_end_is_not_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    case = inline_case(monkeypatch, run=RUN)
    with pytest.raises(ZeroDivisionError), noting_cancellation(case.ledger, RUN):
        raise ZeroDivisionError
    record = case.ledger.runs.get(RUN)
    assert record is not None
    assert record.ended_at is None
