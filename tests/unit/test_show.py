"""`runbooks list`, `show` and `lab faults`: what there is, without asking any server."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from deployments.cli import main
from flows.catalogue import RUNBOOKS


class Shell:
    """The command line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def say(self, *words: str) -> str:
        """What a command that succeeds prints."""
        self._monkeypatch.setattr(sys, "argv", ["runbooks", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return self._capsys.readouterr().out

    def answer(self, *words: str) -> Any:
        """Its JSON."""
        return json.loads(self.say(*words, "--json"))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    return Shell(monkeypatch, capsys)


def test_list_tells_of_every_runbook_what_a_program_needs(shell: Shell) -> None:
    told = shell.answer("list")
    assert [entry["id"] for entry in told] == list(RUNBOOKS)
    assert all(list(entry) == ["id", "alert", "severity", "platform", "trust", "deployment"] for entry in told)
    assert told[1] == {
        "id": "critical_task_queue_depth",
        "alert": "CriticalTaskQueueDepth",
        "severity": "critical",
        "platform": "message-bus",
        "trust": "approve",
        "deployment": "critical-task-queue-depth/critical-task-queue-depth",
    }
    for entry in told:
        assert all(value in shell.say("list") for value in entry.values())


@pytest.mark.parametrize("id", RUNBOOKS)
def test_show_tells_the_source_the_options_in_order_and_the_numbers(shell: Shell, id: str) -> None:
    told, runbook = shell.answer("show", id), RUNBOOKS[id]
    assert (told["id"], told["source"]) == (id, runbook.source)
    assert [option["option"] for option in told["options"]] == [
        option.__name__.replace("_", " ") for option in runbook.options
    ]
    defaults = getattr(runbook.platform(namespace="bus"), id)
    assert {number["name"]: number["default"] for number in told["numbers"]} == defaults.model_dump()
    shown = shell.say("show", id.replace("_", "-"))
    assert all(option["text"] in shown for option in told["options"])
    assert all(number["name"] in shown for number in told["numbers"])


def test_the_faults_of_the_practice_ground_without_how_they_are_made(shell: Shell) -> None:
    told = shell.answer("lab", "faults")
    assert {(fault["fault"], fault["form"]) for fault in told} >= {("queue-overload", "curable-at-once")}
    assert all(set(fault) == {"fault", "form", "symptoms", "cure"} for fault in told)
