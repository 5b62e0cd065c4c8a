"""Backup and restore: everything comes back on either database, and half a backup is none."""

from __future__ import annotations

import gzip
import json
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.ledger import Answer, Approval, ClaimState, Evidence, Ledger
from tasks.ledger.archive import TABLES, ArchiveError, backup, count, read_head, restore
from tasks.ledger.schema import VERSION
from tasks.model.outcome import Outcome
from tasks.model.site import Address
from tests.contract.ledger.places import (
    PUBLISHER,
    START,
    Place,
    acquire,
    at_least,
    incident,
    intend,
    replicas,
    run,
    stray,
)
from tests.contract.postgres import Postgres


def fill(ledger: Ledger) -> None:
    """Something in every table."""
    raised, _ = ledger.incidents.open(incident(labels={"pod": "ä\0"}))
    ledger.runs.begin(run("run-1", incident=raised.id))
    ledger.incidents.claim(raised.id, "run-1")
    ledger.runs.note("run-1", "saw", "850 tasks\nwaiting")
    ledger.runs.saw("run-1", [Evidence("run-1", 1, "depth", "850", "prometheus", 0.1, START)])
    held = acquire(ledger, "run-1")
    done = intend(ledger, replicas(2, 5, at_least(5)), incident=raised.id, held=held)
    ledger.claims.confirm(done)
    ledger.claims.end([claim.id for claim in ledger.claims.of_run("run-1")], ClaimState.RELEASED, "over")
    intend(ledger, replicas(1, 3, at_least(3), PUBLISHER), incident=raised.id)
    now = ledger.now()
    ledger.approvals.ask(Approval("k", "run-1", raised.id, "prod", "x", ("a", "b"), Answer.ASKED, now, now))
    ledger.pauses.pause("prod", "a release", "ada")
    ledger.pages.once(raised.id, "escalation", 1, ["pagerduty"])
    ledger.pages.record(raised.id, "escalation", 1, "help", "slack", "")
    ledger.breaches.note("prod", "depth", START, timedelta(minutes=1))
    ledger.strays.note([stray(labels={"alertname": "Strange", "pod": "ä\0"})])
    ledger.directory.keep([Address("prod", "message-bus", {"namespace": "bus"})])
    ledger.directory.heard("prod", now)
    ledger.runs.begin(run("run-2"))
    ledger.runs.end("run-2", Outcome.RECOVERED, "fine", {"a": [1, None, "x"]})


def dump(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Everything that is in the ledger."""
    with ledger.database.reading() as tx:
        return {
            table.name: [tuple(row) for row in tx.execute(table.select().order_by(*table.primary_key))]
            for table in TABLES
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Addresses of databases that have no table yet."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / 'elsewhere' / 'ledger.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return lambda: postgres.url(postgres.create())


def test_everything_comes_back_on_either_database(ledger: Ledger, elsewhere: Callable[[], str], tmp_path: Path) -> None:
    fill(ledger)
    before = dump(ledger)
    assert all(before.values()), "every table is tried"
    file = tmp_path / "backup.gz"
    head = backup(ledger, file)
    assert head.rows == count(ledger)
    assert (head.version, head.identity) == (VERSION, ledger.identity)
    url = elsewhere()
    assert restore(url, file) == head
    with closing(Ledger(url)) as found:
        assert dump(found) == before
        assert found.identity != ledger.identity, "it is another ledger: who uses the old one is told"
        highest = max(change.id for change in ledger.changes.of_run("run-1"))
        assert intend(found, replicas(1, 2)) > highest, "numbers go on"
        assert found.runs.note("run-1", "saw", "more")


def test_a_backup_is_for_its_owner(ledger: Ledger, tmp_path: Path) -> None:
    backup(ledger, tmp_path / "backup.gz")
    assert stat.S_IMODE((tmp_path / "backup.gz").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".*")] == [], "nothing is left beside it"


def test_a_backup_is_of_one_moment(ledger: Ledger, place: Place, tmp_path: Path) -> None:
    """A writer goes on meanwhile, a note and a page at a time."""
    over = threading.Event()

    def write() -> None:
        with closing(place.open()) as own:
            while not over.is_set():
                own.runs.note("run-1", "saw", "x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            head = backup(ledger, tmp_path / f"{number}.gz")
            assert read_head(tmp_path / f"{number}.gz").rows == head.rows
    finally:
        over.set()
        writer.join()


def test_a_backup_that_fails_leaves_the_old_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.gz"
    backup(ledger, file)
    old = file.read_bytes()
    monkeypatch.setattr("tasks.ledger.archive.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backup(ledger, file)
    assert file.read_bytes() == old
    assert list(tmp_path.glob(".*")) == []


def test_a_ledger_in_use_is_not_overwritten_unasked(ledger: Ledger, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup.gz"
    fill(ledger)
    backup(ledger, file)
    before = dump(ledger)
    ledger.runs.note("run-1", "saw", "since then")
    with pytest.raises(ArchiveError, match="is not empty, it has"):
        restore(place.url, file)
    assert len(ledger.runs.notes("run-1")) == 2, "nothing was done"
    identity = ledger.identity
    restore(place.url, file, force=True)
    assert dump(ledger) == before
    with closing(place.open()) as again:
        assert again.identity == identity


# ---- half a backup -------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A backup of a small ledger."""
    with closing(Ledger(f"sqlite:///{tmp_path / 'old.db'}")) as ledger:
        fill(ledger)
        backup(ledger, tmp_path / "backup.gz")
    return tmp_path / "backup.gz"


def rewrite(file: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Changes the lines of a backup."""
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(change(lines))))


def refused(file: Path, url: str) -> str:
    """Why a backup is refused, before anything is made of it."""
    with pytest.raises(ArchiveError) as told:
        restore(url, file)
    assert not Path(url.removeprefix("sqlite:///")).exists()
    return str(told.value)


def test_what_was_changed_is_noticed(made: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    rewrite(made, lambda lines: [line.replace(b"850 tasks", b"950 tasks") for line in lines])
    assert "checksum" in refused(made, url)


@pytest.mark.parametrize("keep", [-1, 3, 1, 0])
def test_what_is_cut_off_is_noticed(made: Path, tmp_path: Path, keep: int) -> None:
    rewrite(made, lambda lines: lines[:keep])
    assert "cut off" in refused(made, f"sqlite:///{tmp_path / 'new.db'}")


def test_a_file_that_is_cut_off_is_noticed(made: Path, tmp_path: Path) -> None:
    made.write_bytes(made.read_bytes()[:-20])
    assert "damaged" in refused(made, f"sqlite:///{tmp_path / 'new.db'}")


@pytest.mark.parametrize("content", [b"hello", gzip.compress(b"hello"), gzip.compress(b'{"a": 1}\n')])
def test_what_is_no_backup_is_noticed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "backup.gz"
    file.write_bytes(content)
    assert "no backup of a ledger" in refused(file, f"sqlite:///{tmp_path / 'new.db'}")


def test_a_backup_of_another_version_is_refused(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.ledger.archive.VERSION", "9999")
    assert f"tables of version {VERSION}" in refused(made, f"sqlite:///{tmp_path / 'new.db'}")


def test_the_lines_can_be_read_by_anything(made: Path) -> None:
    first, *rows, last = [json.loads(line) for line in gzip.decompress(made.read_bytes()).splitlines()]
    assert first["rows"]["run"] == 2
    assert {name for name, _ in rows} == {table.name for table in TABLES}
    assert set(last) == {"sha256"}
