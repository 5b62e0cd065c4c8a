"""What commands print, and with which exit code."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from prefect import State
from prefect.states import Cancelled, Completed, Crashed
from rich.console import Console

from bench.table import Measured
from deployments.cli import output, runs
from deployments.cli.output import Exit, print_table


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to the standard output, as into a file."""
    found = io.StringIO()
    console = Console(file=found, soft_wrap=output.out.soft_wrap, highlight=False, emoji=output.out._emoji)
    for module in (output, runs):
        monkeypatch.setattr(module, "out", console)
    return found


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (Crashed(message="the process 7 was ended by SIGKILL"), Exit.FAILED),
        (Cancelled(message="by a person"), Exit.CALLED_OFF),
        (Completed(), Exit.FAILED),  # without a report it is not known what it came to
        (None, Exit.FAILED),
    ],
    ids=["crashed", "cancelled", "completed", "none"],
)
def test_a_run_that_ended_without_a_report_has_the_exit_code_of_its_end(
    monkeypatch: pytest.MonkeyPatch, shown: io.StringIO, state: State[Any] | None, code: Exit
) -> None:
    run = str(uuid.uuid4())
    monkeypatch.setattr(runs, "_state", lambda id: state)
    assert runs._print_end(run, json=False) is code
    assert f"run {run[:8]} ended without a report: {state.name if state else 'not begun'}" in shown.getvalue()
    shown.truncate(0)
    shown.seek(0)
    assert runs._print_end(run, json=True) is code
    assert json.loads(shown.getvalue())["run"] == run


def test_a_colon_in_a_name_is_a_colon(shown: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """Recording rules are called so by convention."""
    output.out.print("max(job:bus:pending)", markup=False)
    assert shown.getvalue() == "max(job:bus:pending)\n"
    print_table(("query",), [("max(job:bus:pending)",)], empty="")
    assert "job:bus:pending" in capsys.readouterr().out


@pytest.mark.parametrize(("values", "p95"), [(20, 19), (30, 29), (100, 95), (1, 1), (2, 2)])
def test_the_95th_of_a_hundred(values: int, p95: int) -> None:
    assert Measured("", "", tuple(range(1, values + 1))).p95 == p95
