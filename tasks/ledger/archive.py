"""Backup and restore: the whole ledger as one file, from either database and into either.

The file is gzipped JSON lines: a head with the version of the tables, where and when it was made and how many rows
follow; the rows, one a line; a checksum of all that. The identity stays with the database: a ledger that was restored
elsewhere is another one, and workers that still use the old one are told so.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tasks.ledger.columns import Utc
from tasks.ledger.database import Database
from tasks.ledger.ledger import Ledger
from tasks.ledger.schema import VERSION
from tasks.ledger.tables import meta, metadata

FORMAT = "prefect-runbooks ledger, 1"
TABLES = tuple(table for table in metadata.sorted_tables if table is not meta)

_CHUNK = 500  # rows that are read or written at a time

Rows = Mapping[str, int]
"""How many rows of which table."""


class ArchiveError(Exception):
    """A backup cannot be used, or not here. The text says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup says about itself."""

    version: str
    identity: str
    at: datetime
    rows: Rows


def count(ledger: Ledger) -> Rows:
    """How many rows the ledger has."""
    with ledger.database.reading() as tx:
        return _count(tx)


def _count(tx: sa.Connection) -> Rows:
    return {t.name: tx.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in TABLES}


def backup(ledger: Ledger, path: Path) -> Head:
    """Writes the ledger as it is at one moment; readers and writers go on meanwhile. A file that is there already is
    replaced when the new one is complete.

    Raises:
        OSError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with ledger.database.reading() as tx:
            ledger.database.be_patient(tx)
            at: datetime = tx.execute(sa.select(ledger.database.now())).scalar_one()
            head = Head(VERSION, ledger.identity, at, _count(tx))
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                with gzip.open(file, "wb", compresslevel=6) as packed:
                    _write(packed, head, tx)
                os.fsync(file.fileno())
        draft.replace(path)
        return head
    finally:
        draft.unlink(missing_ok=True)


def _write(packed: gzip.GzipFile, head: Head, tx: sa.Connection) -> None:
    digest = hashlib.sha256()

    def line(value: Any) -> None:
        text = json.dumps(value, separators=(",", ":"), default=datetime.isoformat).encode() + b"\n"
        digest.update(text)
        packed.write(text)

    made = {"identity": head.identity, "at": head.at, "rows": head.rows}
    line({"format": FORMAT, "version": head.version, **made})
    for table in TABLES:
        rows = tx.execution_options(yield_per=_CHUNK).execute(table.select().order_by(*table.primary_key))
        for row in rows:
            line([table.name, dict(row._mapping)])
    packed.write(json.dumps({"sha256": digest.hexdigest()}).encode() + b"\n")


def read_head(path: Path) -> Head:
    """Reads a whole backup, and says what is in it.

    Raises:
        ArchiveError: it is no backup, or not as it was written.
        OSError: the file cannot be read.
    """
    head: Head | None = None
    digest, found, complete = hashlib.sha256(), dict.fromkeys((table.name for table in TABLES), 0), False
    for text in _lines(path):
        if complete:
            raise ArchiveError(f"{path} has something after its end: it is damaged")
        value = _parsed(path, text)
        if head is None:
            head = _head(path, value)
        elif isinstance(value, dict):
            complete = value.get("sha256") == digest.hexdigest()
            if not complete:
                raise ArchiveError(f"{path} is not as it was written: its checksum differs")
        elif value[0] in found:
            found[value[0]] += 1
        digest.update(text)
    if head is None or not complete or found != dict(head.rows):
        raise ArchiveError(f"{path} is cut off: it is no complete backup")
    return head


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) as packed:
            yield from packed
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path} is no backup of a ledger, or is damaged: {error}") from error


def _parsed(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArchiveError(f"{path} is no backup of a ledger") from error


def _head(path: Path, value: Any) -> Head:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ArchiveError(f"{path} is no backup of a ledger that this version knows")
    return Head(value["version"], value["identity"], datetime.fromisoformat(value["at"]), value["rows"])


def restore(url: str, path: Path, force: bool = False) -> Head:
    """Fills the ledger behind the URL from a backup, in one transaction; it is made when there is none.

    Args:
        force: Replace what is in the ledger. Otherwise it has to be empty.

    Raises:
        ArchiveError: the backup is damaged or of another version, or the ledger is not empty.
        LedgerUnavailable: the ledger cannot be opened or written.
        OSError: the file cannot be read.
    """
    head = read_head(path)
    if head.version != VERSION:
        raise ArchiveError(
            f"{path} has tables of version {head.version}, and this code has {VERSION}: restore it with the version of "
            "prefect-runbooks that made it, and open that ledger with this one"
        )
    with closing(Ledger(url)) as ledger, ledger.database.writing() as tx:
        ledger.database.be_patient(tx)
        ledger.database.shut(tx, TABLES)
        there = sum(_count(tx).values())
        if there and not force:
            raise ArchiveError(f"the ledger {ledger.database.name} is not empty, it has {there} rows: nothing was done")
        for table in reversed(TABLES):
            tx.execute(table.delete())
        _fill(ledger.database, tx, path)
    return head


def _fill(database: Database, tx: sa.Connection, path: Path) -> None:
    rows = (value for text in _lines(path) if isinstance(value := _parsed(path, text), list))
    for name, group in groupby(rows, key=lambda value: str(value[0])):
        table = metadata.tables[name]
        moments = [column.name for column in table.columns if isinstance(column.type, Utc)]
        while chunk := [_row(values, moments) for _, values in islice(group, _CHUNK)]:
            tx.execute(table.insert(), chunk)
    for table in TABLES:
        database.count_on(tx, table)


def _row(values: dict[str, Any], moments: list[str]) -> dict[str, Any]:
    return values | {name: datetime.fromisoformat(values[name]) for name in moments if values[name] is not None}
