"""Brings the tables of a ledger up to this version of the code when it is opened."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import sqlalchemy as sa

from tasks.ledger.database import Database, LedgerUnavailable
from tasks.ledger.tables import meta, metadata

VERSION = "0003"
"""The newest migration that the code knows. Numbers, so that newer and older are told apart."""

_TABLE = "ledger_version"
_ONE_AT_A_TIME = threading.Lock()  # Alembic's context is one for the whole process
_LOCK = 0x52554E424F4F4B53  # PostgreSQL's advisory lock for migrations: 'RUNBOOKS'


def bring_up_to_date(database: Database) -> str:
    """Migrates the ledger if it is older than the code, and returns its identity.

    Raises:
        LedgerUnavailable: it is newer than the code, or no ledger.
    """
    with database.reading() as tx:
        current = _version(tx, database)
        if current == VERSION:
            return _identity(tx)
    with database.writing() as tx:
        if not database.is_sqlite:
            tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if _version(tx, database) != VERSION:  # nobody else did it in between
            migrate(tx)
            known = database.insert(meta).values(key="identity", value=uuid.uuid4().hex)
            tx.execute(known.on_conflict_do_nothing())
        return _identity(tx)


def migrate(connection: sa.Connection) -> None:
    """Runs all migrations that this database has not seen, in the transaction of the connection."""
    # Imported here: a ledger that is up to date is opened without it, in a tenth of the time.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": _TABLE})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")


def _version(tx: sa.Connection, database: Database) -> str | None:
    """The ledger's version; None when the database is empty."""
    inspector = sa.inspect(tx)
    if not inspector.has_table(_TABLE):
        ours = sorted(set(inspector.get_table_names()) & set(metadata.tables))
        if ours:
            raise LedgerUnavailable(
                f"the ledger {database.name} has tables without a version ({', '.join(ours)}): it was made before "
                "ledgers had one, or is something else; move it away, and a new ledger is made"
            )
        return None
    found: str | None = tx.execute(sa.text(f"SELECT version_num FROM {_TABLE}")).scalar_one_or_none()  # noqa: S608
    if found is not None and not (found.isdigit() and int(found) <= int(VERSION)):
        raise LedgerUnavailable(
            f"the ledger {database.name} has version {found}, and this code knows {VERSION}: it was opened by a newer "
            "version of prefect-runbooks; upgrade this one"
        )
    return found


def _identity(tx: sa.Connection) -> str:
    return str(tx.execute(sa.select(meta.c.value).where(meta.c.key == "identity")).scalar_one())
