"""A run that a person ends in Prefect, before it is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import httpx
from prefect._internal import control_listener
from prefect.exceptions import ObjectNotFound, TerminationSignal

from tasks.ledger import Ledger, LedgerUnavailable
from tasks.model.outcome import Outcome
from tasks.systems.prefect import get_client

WHY = "a person cancelled this run in Prefect"


@contextmanager
def noting_cancellation(ledger: Ledger, run: str) -> Iterator[None]:
    """Writes down that the run was cancelled, when that is why it is told to end.

    Otherwise it would be taken for dead, and its incident given to another run: which is right when the worker stops,
    and the last thing that a person wants who has just stopped it.
    """
    try:
        yield
    except TerminationSignal:
        # The worker says why it ends the run; others who send a signal do not, and then Prefect has to be asked.
        intent = control_listener.get_intent()
        if intent == "cancel" or (intent is None and cancelled(UUID(run))):
            with suppress(LedgerUnavailable):  # then it counts as dead
                ledger.runs.note(run, "ended", f"{Outcome.CANCELLED.value}: {WHY}")
                ledger.runs.end(run, Outcome.CANCELLED, WHY, None)
        raise


def cancelled(run: UUID) -> bool:
    """Whether a person cancelled the run. While Prefect cannot be asked, or does not know the run: not that we know."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
    except (httpx.HTTPError, ObjectNotFound):
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())
