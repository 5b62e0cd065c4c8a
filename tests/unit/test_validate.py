"""The gate as a task of the run: what it cannot show or write down says nothing about the system."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasks import validate as module
from tasks.ledger import LedgerUnavailable
from tasks.model.criterion import Criterion, Limit
from tasks.model.evidence import Reading
from tasks.validate import Verdict, validate
from tests.unit.inline import InlineCase, inline_case
from tests.unit.standin import HIGH, standin

AT_ONCE = Criterion(
    "queue", "few wait", lambda: Reading(5.0, "a test"), Limit("<", 800, "tasks"),
    timedelta(minutes=10), timedelta(0), timedelta(minutes=1),
)  # fmt: skip


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> InlineCase:
    platform = standin()
    platform.pace = platform.pace.model_copy(update={"poll_seconds": 0.01})
    return inline_case(monkeypatch, runbook=replace(HIGH, criteria=lambda site, raiser: (AT_ONCE,)), platform=platform)


def test_a_gate_whose_progress_cannot_be_shown_opens_all_the_same(
    case: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(module, "create_progress_artifact", away)
    assert validate(case, patient=True).verdict is Verdict.OPEN


def test_a_gate_that_cannot_be_written_down_is_not_closed(case: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed gate would undo what helps. Without a ledger nothing more is done, and a person is called."""

    monkeypatch.setattr(module, "create_progress_artifact", lambda *_, **__: None)

    def locked(*_: Any) -> None:
        raise LedgerUnavailable("the ledger is locked")

    monkeypatch.setattr(case, "note", locked)
    case.runbook = replace(HIGH, criteria=lambda site, raiser: (replace(AT_ONCE, settle=timedelta(minutes=1)),))
    with pytest.raises(LedgerUnavailable):
        validate(case, patient=True)
