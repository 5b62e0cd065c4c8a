"""One change being made as a run does: planned, then made with its retries; and what the ledger has of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prefect import State

from tasks import failpoint
from tasks.case import Planned
from tasks.ledger import ChangeState, ClaimState
from tasks.making import RETRIES, Making
from tasks.model.change import Change
from tests.unit.inline import InlineCase


def make(case: InlineCase, change: Change) -> tuple[Making, State[str]]:
    """Makes one change as a run does: planned, then made with its retries."""
    making = Making(case, "scale out", Planned(change, change.diff(), None, ""))
    return making, case.start("mitigate", "mitigate: it", making.attempt, retries=RETRIES).state


def states(case: InlineCase) -> list[ChangeState]:
    return [change.state for change in case.ledger.changes.of_run("run-1")]


def claims(case: InlineCase) -> list[tuple[str, ClaimState]]:
    return [(str(claim.claim), claim.state) for claim in case.ledger.claims.of_run("run-1")]


def kinds(case: InlineCase) -> list[str]:
    return [note.kind for note in case.ledger.runs.notes("run-1")]


def at(monkeypatch: pytest.MonkeyPatch, point: str, happens: Callable[[], None]) -> None:
    """Something happens when the run reaches a fail point for the first time."""
    reached: list[str] = []

    def reach(name: str) -> None:
        if name == point and point not in reached:
            reached.append(name)
            happens()

    monkeypatch.setattr(failpoint, "reach", reach)
