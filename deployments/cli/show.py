"""`runbooks list` and `runbooks show`: what there is, without asking any server."""

from __future__ import annotations

import inspect
from typing import Any

from deployments.cli.output import Exit, Json, UserError, out, print_json, print_table
from flows.catalogue import FLOWS, RUNBOOKS
from tasks.platform import Platform
from tasks.runbook import AnyRunbook, option_name, option_text


def find(runbook: str) -> AnyRunbook:
    """The runbook with this id, written with underscores or dashes.

    Raises:
        UserError: there is none.
    """
    found = RUNBOOKS.get(runbook.replace("-", "_"))
    if found is None:
        raise UserError(f"there is no runbook {runbook!r}: see `runbooks list`")
    return found


def deployment(runbook: AnyRunbook) -> str:
    """The name of the runbook's deployment, as Prefect writes it."""
    return f"{FLOWS[runbook.id].name}/{runbook.slug}"


def _entry(runbook: AnyRunbook) -> dict[str, str]:
    return {
        "id": runbook.id,
        "alert": runbook.alert,
        "severity": runbook.severity.value,
        "platform": runbook.platform.slug(),
        "trust": str(Platform.model_fields["trust"].default),
        "deployment": deployment(runbook),
    }


def list_runbooks(*, json: Json = False) -> int:
    """List all runbooks."""
    entries = [_entry(runbook) for runbook in RUNBOOKS.values()]
    if json:
        print_json(entries)
    else:
        head = ("id", "alert", "severity", "platform", "trust", "deployment")
        print_table(head, [tuple(entry.values()) for entry in entries], empty="There are no runbooks.")
    return Exit.FINE


def show(runbook: str, *, json: Json = False) -> int:
    """Show one runbook: its source, options in order, and the numbers with their defaults.

    Args:
        runbook: Its id, e.g. high_task_queue_depth.
    """
    found = find(runbook)
    numbers = _numbers(found)
    options = [{"option": option_name(option), "text": option_text(option)} for option in found.options]
    if json:
        print_json(
            {**_entry(found), "title": found.title, "source": found.source, "options": options, "numbers": numbers}
        )
        return Exit.FINE
    out.print(f"[bold]{found.title}[/bold]  ({found.id})")
    out.print(inspect.getdoc(inspect.getmodule(FLOWS[found.id].fn)) or "", markup=False)
    out.print(f"\nAlert {found.alert}, {found.severity.value}; respond within {found.respond_within}.\n")
    for option in options:
        out.print(f"  {option['text']}", markup=False)
    out.print()
    rows = [(number["name"], str(number["default"]), number["title"]) for number in numbers]
    print_table(("number", "default", "meaning"), rows, empty="It has no numbers.")
    return Exit.FINE


def _numbers(runbook: AnyRunbook) -> list[dict[str, Any]]:
    """The document's numbers of the runbook: a model in its platform's field of the same name."""
    model = runbook.platform.model_fields[runbook.id].annotation
    return [
        {"name": name, "default": field.default, "title": field.title or name}
        for name, field in model.model_fields.items()
    ]
