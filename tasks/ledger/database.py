"""The database behind the ledger: a SQLite file on one host, or PostgreSQL for several.

Everything that differs between the two is here: how a connection is made, how a transaction begins, what time it is.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url

from tasks.ledger.columns import Utc
from tasks.ledger.mounts import network_filesystem
from tasks.redact import redact

Clock = Callable[[], datetime]

_IN_MEMORY = (None, "", ":memory:")
_WAIT = 10  # seconds for which a writer waits for another one
_POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "prefect-runbooks",
    "tcp_user_timeout": 10_000,  # a host that is gone is noticed within this many milliseconds
    "options": f"-c lock_timeout={_WAIT}s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
}


class LedgerUnavailable(Exception):
    """The ledger cannot be opened, read or written: no change may be begun. The text says why, in one sentence."""


class Database:
    """Connections to one database, and what has to be said to it in its own words.

    `clock` stands in for the time of the database on SQLite, which has none of its own; PostgreSQL's is its own.

    Raises:
        LedgerUnavailable: from the constructor, when the URL names nothing that can be a ledger.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        address = _address(url)
        self.name = _name(address)
        self.is_sqlite = address.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._engine = _sqlite(address, clock or (lambda: datetime.now(UTC)))
            self._snapshots: sa.Engine = self._engine
            self._writers: sa.Engine = self._engine.execution_options(ledger_writes=True)
        else:
            self._engine = sa.create_engine(address, pool_pre_ping=True, hide_parameters=True, connect_args=_POSTGRESQL)
            self._snapshots = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._writers = self._engine

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees the ledger as it is at one moment.

        Raises:
            LedgerUnavailable: the database cannot be reached or read.
        """
        with self._told(), self._snapshots.begin() as tx:
            yield tx

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is written as a whole or not at all. On SQLite it is the only one at its time.

        Raises:
            LedgerUnavailable: the database cannot be reached or written.
        """
        with self._told(), self._writers.begin() as tx:
            yield tx

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # a fault of ours, not of the database
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            reason = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error)
            raise LedgerUnavailable(f"the ledger {self.name} fails: {redact(' '.join(reason.split()))}") from error

    def now(self, shift: timedelta = timedelta(0)) -> sa.ColumnElement[datetime]:
        """The moment at which the statement is carried out, by the database's clock, and so much later."""
        if self.is_sqlite:
            return sa.func.ledger_now(shift.total_seconds(), type_=Utc)
        clock = sa.func.clock_timestamp(type_=sa.DateTime(timezone=True))
        return sa.type_coerce(clock + sa.literal(shift, sa.Interval), Utc)

    def insert(self, table: sa.Table) -> Any:
        """An insert that can be told what to do about a row that is there already."""
        return sqlite_insert(table) if self.is_sqlite else postgresql_insert(table)

    def keep(self, tx: sa.Connection, rows: sa.Select[Any]) -> None:
        """Keeps these rows from others until the transaction ends. On SQLite a writer is alone anyway."""
        if not self.is_sqlite:
            tx.execute(rows.with_for_update())

    def be_patient(self, tx: sa.Connection) -> None:
        """Lets the statements of a transaction take as long as they need."""
        if not self.is_sqlite:
            tx.execute(sa.text("SET LOCAL statement_timeout = 0"))
            tx.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))

    def shut(self, tx: sa.Connection, tables: Iterable[sa.Table]) -> None:
        """Keeps everybody else out of the tables until the transaction ends. On SQLite a writer is alone anyway."""
        if not self.is_sqlite:
            quote = tx.dialect.identifier_preparer.format_table
            names = ", ".join(quote(table) for table in sorted(tables, key=lambda table: table.name))
            tx.execute(sa.text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))

    def count_on(self, tx: sa.Connection, table: sa.Table) -> None:
        """Numbers go on after the highest in the table, whoever gave it. SQLite sees to that itself."""
        if not self.is_sqlite and table.autoincrement_column is not None:
            name = tx.dialect.identifier_preparer.format_table(table)
            highest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
            tx.execute(
                sa.select(
                    sa.func.setval(
                        sa.func.pg_get_serial_sequence(name, "id"), sa.func.coalesce(highest, 1), highest.is_not(None)
                    )
                )
            )

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def ledger_file(url: str) -> Path | None:
    """The file of a ledger on SQLite, whether it is there or not; None for one in memory or on PostgreSQL.

    Raises:
        LedgerUnavailable: the URL names nothing that can be a ledger, or a file whose folder is no place for one.
    """
    address = _address(url)
    if address.get_backend_name() != "sqlite" or address.database in _IN_MEMORY:
        return None
    file = Path(str(address.database))
    _refuse_network(file.parent)
    return file


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise LedgerUnavailable("the ledger must be a sqlite:/// or postgresql:// URL") from error
    if address.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername in ("sqlite", "sqlite+pysqlite"):
        return address
    raise LedgerUnavailable(f"the ledger must be a sqlite:/// or postgresql:// URL, not {address.drivername}://")


def _name(address: URL) -> str:
    if address.get_backend_name() == "sqlite":
        return address.database or "in memory"
    where = f"{address.host or 'local'}:{address.port}" if address.port else address.host or "local"
    return f"{address.database or ''} on PostgreSQL at {where}"


def _sqlite(address: URL, clock: Clock) -> sa.Engine:
    options: dict[str, Any] = {"connect_args": {"timeout": _WAIT}}
    if address.database in _IN_MEMORY:
        # In memory there is one database per connection, and the tasks of a run are threads: they take turns.
        options = {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0}
        options["connect_args"] = {"check_same_thread": False}
    else:
        _prepare_folder(Path(address.database).parent)
    engine = sa.create_engine(address, hide_parameters=True, **options)

    def connected(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions are begun by us, see `_begin`
        connection.create_function("ledger_now", 1, lambda shift: _as_stored(clock() + timedelta(seconds=shift)))
        cursor = connection.cursor()
        # Write-ahead log, so that readers never block the writer; every commit reaches the disk.
        _write_ahead(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Several that open a new file at once get in each other's way, and for this SQLite does not wait by itself."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.05))  # noqa: S311, so that they do not meet again


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LedgerUnavailable(f"cannot make the ledger's folder {folder}: {error.strerror}") from error
    _refuse_network(folder)


def _refuse_network(folder: Path) -> None:
    if kind := network_filesystem(folder):
        raise LedgerUnavailable(
            f"the ledger's folder {folder} is on {kind}, where SQLite's locks cannot be relied on, so that two hosts "
            "could change the same thing at once: use a local folder, or PostgreSQL (RUNBOOKS_LEDGER=postgresql://...)"
        )


def _begin(connection: sa.Connection) -> None:
    """A writer is one from its beginning: two readers that both want to write would wait for each other."""
    writes = connection.get_execution_options().get("ledger_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _as_stored(moment: datetime) -> str:
    """A moment as SQLAlchemy stores it on SQLite: it is compared as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def by_beginning(tx: sa.Connection, table: sa.Table, id: str) -> sa.Row[Any] | None:
    """The row with this id, or with an id that begins so when there is only one."""
    found = table.select().where(table.c.id.startswith(id, autoescape=True)).order_by(table.c.id).limit(2)
    rows = tx.execute(found).all() if id else []
    return rows[0] if rows and (len(rows) == 1 or rows[0].id == id) else None
