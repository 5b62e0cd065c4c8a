"""What the doctor sees of a ledger, on SQLite and on PostgreSQL: it looks, and changes nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from deployments.doctor import clocks, ledger
from deployments.doctor.looks import ToldElsewhere
from tasks.ledger import Ledger
from tasks.ledger.database import Database
from tests.contract.ledger.places import Place
from tests.contract.postgres import Postgres
from tests.unit.test_doctor_installation import kinds

pytestmark = pytest.mark.live


def set_version(url: str, version: str) -> None:
    """As if another code had made it."""
    with closing(Database(url)) as database, database.writing() as tx:
        tx.execute(sa.text("UPDATE ledger_version SET version_num = :version"), {"version": version})


def tables(url: str) -> list[str]:
    with closing(Database(url)) as database, database.reading() as tx:
        return sorted(sa.inspect(tx).get_table_names())


def test_a_ledger_that_is_as_it_should_be(place: Place) -> None:
    assert kinds(ledger.judge(ledger.read(place.url))) == set()
    with ledger.opened(place.url) as found, closing(place.open()) as same:
        assert found.identity == same.identity


@pytest.mark.parametrize(("version", "expected"), [("0000", "ledger-older"), ("9999", "ledger-unusable")])
def test_a_ledger_of_other_code_is_left_as_it_is(place: Place, version: str, expected: str) -> None:
    now = ledger.read(place.url).version
    set_version(place.url, version)
    try:
        assert kinds(ledger.judge(ledger.read(place.url))) == {expected}
        with pytest.raises(ToldElsewhere), ledger.opened(place.url):
            pass
        assert ledger.read(place.url).version == version
    finally:
        set_version(place.url, now)


def test_an_empty_database_stays_empty(postgres: Postgres) -> None:
    url = postgres.url(postgres.create())
    assert kinds(ledger.judge(ledger.read(url))) == {"ledger-missing"}
    assert tables(url) == []


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    gone = ledger.read("postgresql://runbooks@127.0.0.1:1/runbooks")
    assert kinds(ledger.judge(gone)) == {"ledger-unusable"}
    assert kinds(ledger.judge(ledger.read("mysql://127.0.0.1/runbooks"))) == {"ledger-unusable"}
    (tmp_path / "ledger.db").write_text("this is no database, and long enough to be told from an empty one" * 20)
    assert kinds(ledger.judge(ledger.read(f"sqlite:///{tmp_path / 'ledger.db'}"))) == {"ledger-unusable"}


@pytest.mark.parametrize(
    ("turned", "expected"), [(timedelta(seconds=30), {"clocks-apart"}), (timedelta(seconds=-30), {"clocks-apart"})]
)
def test_the_clock_of_the_database(postgres: Postgres, turned: timedelta, expected: set[str]) -> None:
    user = postgres.create_with_clock()
    url = postgres.url(user)
    Ledger(url).close()
    assert kinds(clocks.judge("the ledger", clocks.of_ledger(url))) == set()
    postgres.turn(user, turned)
    assert kinds(clocks.judge("the ledger", clocks.of_ledger(url))) == expected
