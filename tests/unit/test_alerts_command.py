"""`runbooks alerts` and `runbooks status`: alerts without an incident, told apart from those that are held back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deployments.cli import alerts as alerts_command
from deployments.cli import runs as runs_command
from tasks.ledger import Ledger
from tests.contract.ledger.places import stray
from tests.unit.ledgers import fresh_ledger

HELD = stray("Silent", why="held back: publisher is at most 0", explained_by=7)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    found = fresh_ledger()

    @contextmanager
    def ours() -> Iterator[Ledger]:
        yield found

    for command in (alerts_command, runs_command):
        monkeypatch.setattr(command, "our_ledger", ours)
    yield found
    found.close()


def test_what_is_held_back_is_listed_and_not_forgotten(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.strays.note([stray(), HELD])
    assert alerts_command.alerts() == 0
    shown = capsys.readouterr().out
    assert "no runbook answers to this alert" in shown
    assert "held back: publisher is at most 0" in shown
    assert alerts_command.alerts(forget=True, json=True) == 0
    assert [one["alert"] for one in json.loads(capsys.readouterr().out)["alerts"]] == ["Strange"]
    assert [one.alert for one in ledger.strays.all()] == ["Silent"]


def test_one_that_is_held_back_and_over_may_be_forgotten(ledger: Ledger) -> None:
    ledger.strays.note([HELD])
    ledger.strays.note([stray("Silent", resolved_at=ledger.now())])
    assert alerts_command.alerts(forget=True) == 0
    assert ledger.strays.all() == []


def test_the_status_says_what_is_held_back(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.strays.note([stray(), HELD])
    assert runs_command.status() == 0
    shown = capsys.readouterr().out
    assert "Silent is held back: publisher is at most 0" in shown
    assert "Strange" not in shown
    assert runs_command.status(json=True) == 0
    assert [one["alert"] for one in json.loads(capsys.readouterr().out)["held_back"]] == ["Silent"]
