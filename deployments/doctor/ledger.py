"""The ledger: whether it can be opened by this code, and whether it is the one that the installation uses.

It is only read: a doctor of newer code that opened an older ledger would migrate it under the feet of the workers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.doctor.looks import ToldElsewhere
from tasks import installation
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.ledger.database import Database, ledger_file
from tasks.ledger.schema import VERSION
from tasks.systems.prefect import get_client

UNUSABLE = Kind(
    "ledger-unusable",
    Health.BROKEN,
    "no run begins a change, no alert becomes an incident",
    "start the database, or set RUNBOOKS_LEDGER, on every worker and at the intake the same",
)
MISSING = Kind(
    "ledger-missing",
    Health.DOUBTFUL,
    "whoever uses it first makes it; where workers or an intake run already, they use another one",
    "runbooks status makes it; or set RUNBOOKS_LEDGER to the one that the workers use",
)
OLDER = Kind(
    "ledger-older",
    Health.DOUBTFUL,
    "the first run or command of this code brings it up to date, and older code opens it no more",
    "stop the older workers and intake, runbooks ledger backup FILE, runbooks ledger info, start the new ones",
)
ANOTHER = Kind(
    "ledger-not-the-installations",
    Health.BROKEN,
    "a worker with this ledger refuses to change anything (WrongLedger)",
    "set RUNBOOKS_LEDGER as on the other workers; or, if this one is to replace theirs: runbooks ledger adopt",
)
KINDS = (UNUSABLE, MISSING, OLDER, ANOTHER)

_VERSIONS = sa.table("ledger_version", sa.column("version_num"))


@dataclass(frozen=True, slots=True)
class Seen:
    """A ledger: its version, empty where there are no tables yet, or why it cannot be opened."""

    name: str
    version: str = ""
    trouble: str = ""

    @property
    def ready(self) -> bool:
        """Whether opening it changes nothing in it."""
        return self.version == VERSION


def read(url: str) -> Seen:
    """The ledger as it is; nothing is made or migrated."""
    try:
        file = ledger_file(url)
        return _in_file(file) if file else _in_database(url)
    except LedgerUnavailable as error:
        return Seen("ledger", trouble=str(error))


def _in_file(file: Path) -> Seen:
    """Without the ledger's own code, which would make the folder, and another way of writing of any file."""
    if not file.exists():
        return Seen(str(file))
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            named = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [_VERSIONS.name]).fetchone()
            found = connection.execute(f"SELECT version_num FROM {_VERSIONS.name}").fetchone() if named else None  # noqa: S608
    except sqlite3.Error as error:
        return Seen(str(file), trouble=f"the ledger {file} fails: {error}")
    return Seen(str(file), version=str(found[0]) if found else "")


def _in_database(url: str) -> Seen:
    with closing(Database(url)) as database:
        try:
            with database.reading() as tx:
                has_one = sa.inspect(tx).has_table(_VERSIONS.name)
                found = tx.execute(sa.select(_VERSIONS.c.version_num)).scalar_one_or_none() if has_one else None
        except LedgerUnavailable as error:
            return Seen(database.name, trouble=str(error))
        return Seen(database.name, version=str(found or ""))


def judge(seen: Seen) -> Iterable[Finding]:
    """Whether this code can use it."""
    what = f"ledger {seen.name}" if seen.name != "ledger" else seen.name
    if seen.trouble:
        yield UNUSABLE.found(what, seen.trouble)
    elif not seen.version:
        yield MISSING.found(what, "there is none yet")
    elif seen.ready:
        yield fine(what, f"opens, version {seen.version}")
    elif seen.version.isdigit() and int(seen.version) < int(VERSION):
        yield OLDER.found(what, f"it has version {seen.version}, this code knows {VERSION}")
    else:
        yield UNUSABLE.found(what, f"it has version {seen.version}, this code knows only {VERSION}: upgrade the code")


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """The ledger, open.

    Raises:
        LedgerUnavailable: it cannot be opened.
        ToldElsewhere: to open it would make or migrate it.
    """
    seen = read(url)
    if seen.trouble:
        raise LedgerUnavailable(seen.trouble)
    if not seen.ready:
        raise ToldElsewhere(f"the ledger {seen.name} is not ready for this code")
    with closing(Ledger(url)) as ledger:
        yield ledger


def read_identities(url: str) -> tuple[str, str]:
    """The identity of this ledger, and that of the installation's; that is empty where none was used yet.

    Raises:
        LedgerUnavailable: the ledger cannot be opened.
    """
    with opened(url) as ledger, get_client(sync_client=True) as client:
        known = client.read_variable_by_name(installation.VARIABLE)
        return ledger.identity, str(known.value) if known else ""


def judge_identities(own: str, installed: str) -> Iterable[Finding]:
    """Whether this ledger is the installation's."""
    if installed and own != installed:
        yield ANOTHER.found("ledger of the installation", f"it is {installed[:8]}, RUNBOOKS_LEDGER leads to {own[:8]}")
    else:
        yield fine("ledger of the installation", f"{own[:8]}" + ("" if installed else ", from the first run on"))
