"""`runbooks automations`: what Prefect does by itself when a run dies, beside the triggers of `prefect.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter

from deployments import automations
from deployments.automations import SHORTEST, SILENT_FOR, Told
from deployments.cli.installation import require_server
from deployments.cli.output import Exit, Json, UserError, print_json, print_table
from tasks.systems.prefect import get_client

app = App(name="automations", help="The automations that the triggers of `prefect.yaml` cannot express.")


@app.command
def apply(
    *,
    silent_for: Annotated[
        timedelta, Parameter(help="So long without a heartbeat, and a run is taken for dead, e.g. 5m.")
    ] = SILENT_FOR,
    json: Json = False,
) -> int:
    """Create the automations at the Prefect server, or update them. One that is switched off there stays off."""
    if silent_for < SHORTEST:
        shortest = f"{SHORTEST.total_seconds():g}s"
        raise UserError(f"--silent-for must be at least {shortest}: with less, runs that are alive are taken for dead")
    require_server()
    with get_client(sync_client=True) as client:
        return _print(automations.apply(client, silent_for), json=json)


@app.command(name="list")
def list_automations(*, json: Json = False) -> int:
    """Show the automations, and whether they are at the Prefect server."""
    require_server()
    with get_client(sync_client=True) as client:
        return _print(automations.present(client), json=json)


@app.command
def remove(*, json: Json = False) -> int:
    """Take the automations away from the Prefect server."""
    require_server()
    with get_client(sync_client=True) as client:
        return _print(automations.remove(client), json=json)


def _print(told: Sequence[Told], *, json: bool) -> int:
    if json:
        print_json(told)
        return Exit.FINE
    rows = [(one.name, one.fate, "on" if one.enabled else "off", one.what) for one in told]
    print_table(("automation", "state", "is", "what it does"), rows, empty="There was nothing to remove.")
    return Exit.FINE
