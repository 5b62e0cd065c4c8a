"""The tables of the ledger: made and migrated when it is opened, by one of many, and never by older code."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tasks.ledger import Ledger, LedgerUnavailable, schema
from tasks.ledger.database import Database
from tasks.ledger.tables import metadata
from tasks.version import ROOT
from tests.contract.ledger.places import at_once
from tests.contract.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Addresses of databases that have no table yet."""
    if request.param == "sqlite":
        names = iter(range(100))
        return lambda: f"sqlite:///{tmp_path / f'{next(names)}.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return lambda: postgres.url(postgres.create())


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url)) as found:
        yield found


def test_the_steps_make_what_the_tables_say(url: str, database: Database) -> None:
    Ledger(url).close()
    with database.reading() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        differences = [one for one in compare_metadata(context, metadata) if "ledger_version" not in str(one)]
    assert differences == []


def _made(database: Database) -> list[Any]:
    """Everything that the database itself says about its tables, in its own words."""
    with database.reading() as tx:
        if database.is_sqlite:
            made = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        else:
            made = (
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() UNION ALL "
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = current_schema()::regnamespace ORDER BY 1"
            )
        schema = tx.dialect.default_schema_name or ""
        return [
            (name, " ".join(sql.replace(f"{schema}.", "").split()))
            for name, sql in tx.exec_driver_sql(made)
            if "ledger_version" not in name
        ]


def test_indexes_and_keys_are_the_same_too(new_url: Callable[[], str]) -> None:
    """What Alembic does not compare: conditions of indexes, names of keys."""
    migrated, made = new_url(), new_url()
    Ledger(migrated).close()
    with closing(Database(migrated)) as one, closing(Database(made)) as other:
        with other.writing() as tx:
            metadata.create_all(tx)
        assert sorted(_made(one)) == sorted(_made(other))


def test_the_newest_step_is_the_version() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).with_name("migrations")))
    assert scripts.get_current_head() == schema.VERSION


def test_every_ledger_has_an_identity_of_its_own(new_url: Callable[[], str]) -> None:
    url, other = new_url(), new_url()
    identities = []
    for address in (url, url, other):
        with closing(Ledger(address)) as ledger:
            identities.append(ledger.identity)
    assert identities[0] == identities[1] != identities[2]


def test_one_of_many_hosts_makes_the_tables(url: str) -> None:
    def identity(_: int) -> str:
        with closing(Ledger(url)) as ledger:
            return ledger.identity

    assert len(set(at_once(6, identity))) == 1


def test_a_new_file_is_opened_while_another_host_writes_its_first_table(tmp_path: Path) -> None:
    """SQLite itself does not wait for the other one, when it is asked for its write-ahead log."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE incident (id VARCHAR)")
        other.execute("BEGIN IMMEDIATE")
        over = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
        over.start()
        with closing(Database(f"sqlite:///{path}")) as ours, ours.reading() as tx:
            assert tx.execute(sa.text("PRAGMA journal_mode")).scalar_one() == "wal"
        over.join()


def test_a_ledger_that_is_up_to_date_is_opened_without_alembic(url: str) -> None:
    Ledger(url).close()
    program = "import sys; from tasks.ledger import Ledger; Ledger(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"


def test_a_ledger_of_newer_code_is_left_alone(url: str, database: Database) -> None:
    Ledger(url).close()
    with database.writing() as tx:
        tx.execute(sa.text("UPDATE ledger_version SET version_num = '0999'"))
    with pytest.raises(LedgerUnavailable, match=r"has version 0999, and this code knows .* newer"):
        Ledger(url)


def test_tables_without_a_version_are_left_alone(url: str, database: Database) -> None:
    """As the first releases made them, and as something else may have made them."""
    with database.writing() as tx:
        tx.execute(sa.text("CREATE TABLE incident (id VARCHAR)"))
    with pytest.raises(LedgerUnavailable, match=r"tables without a version \(incident\)"):
        Ledger(url)


def test_tables_of_others_do_not_matter(url: str, database: Database) -> None:
    with database.writing() as tx:
        tx.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR)"))
        tx.execute(sa.text("CREATE TABLE customer (id VARCHAR)"))
    Ledger(url).close()


def test_a_step_that_fails_leaves_nothing_behind(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = schema.migrate

    def dies(connection: sa.Connection) -> None:
        migrate(connection)
        raise RuntimeError("at the last moment")

    monkeypatch.setattr(schema, "migrate", dies)
    with pytest.raises(RuntimeError):
        Ledger(url)
    with database.reading() as tx:
        assert sa.inspect(tx).get_table_names() == []
    monkeypatch.undo()
    Ledger(url).close()
