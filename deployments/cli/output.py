"""How commands answer: tables for people, JSON for programs, one sentence for errors."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from enum import IntEnum
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from tasks.model.outcome import Outcome

out = Console(soft_wrap=True, highlight=False, emoji=False)  # a colon in a name is a colon
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


class Exit(IntEnum):
    """Exit codes."""

    FINE = 0
    FAILED = 1  # the run ended NotRecovered or Refused
    USAGE = 2  # bad input, or something that the command needs is missing
    CALLED_OFF = 3  # the run ended without acting: Planned, Observed, Deferred, SteppedAside


class UserError(Exception):
    """What the person has to know or do, in one sentence."""


def exit_code(outcome: Outcome) -> Exit:
    """The exit code for the end of a run."""
    return {"COMPLETED": Exit.FINE, "FAILED": Exit.FAILED, "CANCELLED": Exit.CALLED_OFF}[outcome.state_type]


def log_to_stderr(line: str) -> None:
    """What our own processes do, in lines of this format; not what the libraries below them do."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(line))
    ours = logging.getLogger("runbooks")
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    ours.propagate = False


def print_json(value: Any) -> None:
    """Prints models, dataclasses and plain values as JSON."""
    out.print_json(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def print_markdown(text: str) -> None:
    """Shows markdown on a terminal; a file or a pipe gets it as it is."""
    if out.is_terminal:
        out.print(Markdown(text), soft_wrap=False)  # else lines would be cut at the edge
    else:
        out.print(text, markup=False)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Prints a table, or a sentence where there is nothing to show."""
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in head:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_literal(cell) for cell in row))
    # A file or a pipe has no width: nothing is folded there.
    Console(highlight=False, emoji=False, width=None if out.is_terminal else 400).print(table)


def _literal(text: str) -> str:
    return text.replace("[", r"\[")
