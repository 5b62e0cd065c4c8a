"""`runbooks ledger`: what is in the ledger, its backup and its retention."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.installation import require_server
from deployments.cli.output import Exit, Json, UserError, out, print_json, print_table
from tasks import installation
from tasks.ledger import Ledger, archive
from tasks.ledger.retention import prune as prune_ledger
from tasks.ledger.schema import VERSION
from tasks.settings import settings

app = App(name="ledger", help="The ledger: what is in it, its backup, its retention.")


@app.command
def info(*, json: Json = False) -> int:
    """Show where the ledger is and what is in it."""
    with closing(Ledger(settings().ledger)) as ledger:
        rows = archive.count(ledger)
        facts = {"where": ledger.database.name, "identity": ledger.identity, "version": VERSION}
    if json:
        print_json({**facts, "rows": rows})
        return Exit.FINE
    for name, value in facts.items():
        out.print(f"{name}: {value}", markup=False)
    out.print()
    print_table(("table", "rows"), [(name, str(number)) for name, number in rows.items()], empty="No tables.")
    return Exit.FINE


@app.command
def backup(file: Path, *, json: Json = False) -> int:
    """Write the whole ledger to a file, as it is at one moment. Runs may go on meanwhile.

    Args:
        file: Where to, e.g. ledger.gz. A file that is there is replaced when the new one is complete.
    """
    with closing(Ledger(settings().ledger)) as ledger:
        head = archive.backup(ledger, file)
    _print(head, f"{sum(head.rows.values())} rows were written to {file}.", json=json)
    return Exit.FINE


@app.command
def restore(
    file: Path,
    *,
    force: Annotated[bool, Parameter(help="Replace what is in the ledger.", negative=())] = False,
    json: Json = False,
) -> int:
    """Fill an empty ledger from a backup; also how a ledger moves from SQLite to PostgreSQL and back.

    Stop the workers and the intake first. The ledger keeps an identity of its own: if it is to replace another one,
    run `runbooks ledger adopt` afterwards.

    Args:
        file: What `runbooks ledger backup` wrote.
    """
    try:
        head = archive.restore(settings().ledger, file, force)
    except archive.ArchiveError as error:
        raise UserError(str(error)) from error
    _print(head, f"{sum(head.rows.values())} rows of {head.at:%Y-%m-%d %H:%M} UTC are in the ledger.", json=json)
    return Exit.FINE


@app.command
def prune(
    *,
    older_than: Annotated[timedelta, Parameter(help="How long history is kept, e.g. 90d.")],
    json: Json = False,
) -> int:
    """Delete what is over and old: resolved incidents and ended runs, with all that belongs to them.

    Open incidents, claims that are not given back and runs that have not ended stay, however old they are.
    """
    if older_than < timedelta(0):
        raise UserError("--older-than must not be negative: what has not happened yet cannot be deleted")
    with closing(Ledger(settings().ledger)) as ledger:
        gone = prune_ledger(ledger, older_than)
    if json:
        print_json(gone)
    else:
        print_table(("table", "deleted"), [(name, str(n)) for name, n in gone.items()], empty="Nothing is that old.")
    return Exit.FINE


@app.command
def adopt(*, json: Json = False) -> int:
    """Make this ledger the one of the installation, e.g. after a restore. Workers with another one then act no more."""
    require_server()
    with closing(Ledger(settings().ledger)) as ledger:
        installation.adopt(ledger)
        identity = ledger.identity
    print_json({"identity": identity}) if json else out.print(f"The installation's ledger is {identity} now.")
    return Exit.FINE


def _print(head: archive.Head, sentence: str, *, json: bool) -> None:
    print_json(head) if json else out.print(sentence, markup=False)
