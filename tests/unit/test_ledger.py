"""The ledger in a file: nothing is lost by a kill, no secret reaches it, and what cannot be a ledger is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.incidents import new_incident
from tasks.ledger import ChangeState, Ledger, LedgerUnavailable, mounts
from tasks.model.change import Diff
from tests.contract.ledger.places import at_least, at_once, incident, intend, replicas

SECRET = "hunter2-and-more"  # noqa: S105 - not one
LEAK = f"GET http://user:{SECRET}@host failed, password={SECRET}"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new folder' / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    found = Ledger(url)
    yield found
    found.close()


def test_no_secret_reaches_the_file(ledger: Ledger, tmp_path: Path) -> None:
    raised = incident()
    ledger.incidents.open(
        new_incident(
            raiser=raised.raiser,
            alert=raised.alert,
            runbook=raised.runbook,
            site=raised.site,
            severity=raised.severity,
            summary=LEAK,
            started_at=raised.started_at,
            labels={"instance": LEAK},
        )
    )
    ledger.runs.note("run-1", "failed", LEAK)
    number = intend(ledger, Diff(LEAK, LEAK, note=LEAK))
    ledger.changes.settle(number, ChangeState.FAILED, LEAK)
    ledger.pages.record("i-1", "escalation", 1, LEAK, "slack", LEAK)
    ledger.pauses.pause("prod", LEAK, "ada")
    ledger.close()
    for path in (tmp_path / "new folder").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path.name


DIES = """
import sys, time
from tasks.ledger import Ledger
from tests.contract.ledger.places import acquire, at_least, intend, replicas, run
ledger = Ledger(sys.argv[1])
ledger.runs.begin(run())
intend(ledger, replicas(2, 5, at_least(5)), held=acquire(ledger, "run-1"))
print("intended", flush=True)
time.sleep(60)
"""


def test_an_intent_outlives_a_kill(url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DIES, url], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"intended\n"
        os.kill(process.pid, signal.SIGKILL)
    found = Ledger(url)
    (record,) = found.changes.of_run("run-1")
    assert record.state is ChangeState.INTENDED
    assert found.runs.get("run-1") is not None
    assert [lock.run for lock in found.locks.all()] == ["run-1"]
    (held,) = found.claims.holdings()
    assert held.pending == {"replicas": 5}
    found.close()


def test_an_intent_and_its_claim_are_written_together_or_not_at_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("between the two")

    monkeypatch.setattr(ledger.claims, "_claim", fails)
    with pytest.raises(RuntimeError):
        intend(ledger, replicas(2, 5, at_least(5)))
    assert ledger.changes.of_run("run-1") == []
    assert ledger.claims.holdings() == []


def test_a_reader_is_not_held_up_by_an_open_write(url: str, ledger: Ledger) -> None:
    ledger.runs.note("run-1", "saw", "first")
    with ledger.database.writing() as tx:
        tx.exec_driver_sql("DELETE FROM note")
        reader = Ledger(url)
        began = time.monotonic()
        assert [note.text for note in reader.runs.notes("run-1")] == ["first"]
        assert time.monotonic() - began < 2
        reader.close()


def test_writers_take_turns(url: str, ledger: Ledger) -> None:
    """Each reads before it writes: begun as readers, they would all want to become the writer, and all but one fail."""
    hosts = [Ledger(url) for _ in range(6)]
    at_once(6, lambda number: [hosts[number].incidents.open(incident(alert=str(turn))) for turn in range(10)])
    assert len(ledger.incidents.still_open()) == 10
    for host in hosts:
        host.close()


def test_the_ledger_in_memory_is_one_for_all_threads() -> None:
    """It stands in when the file cannot be opened, and the tasks of a run are threads."""
    found = Ledger("sqlite://")
    at_once(16, lambda number: [found.runs.note("run-1", "saw", str(number)) for _ in range(20)])
    assert len(found.runs.notes("run-1")) == 16 * 20
    found.close()


def test_many_ledgers_are_made_at_once() -> None:
    ledgers = at_once(4, lambda _: Ledger("sqlite://"))
    assert len({ledger.identity for ledger in ledgers}) == 4
    for ledger in ledgers:
        assert ledger.runs.note("run-1", "saw", "x")
        ledger.close()


# ---- what cannot be a ledger ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("no url", "sqlite:/// or postgresql://"),
        ("mysql://root:hunter2@db/ledger", "not mysql"),
        ("postgresql+asyncpg://db/ledger", "not postgresql[+]asyncpg"),
        ("sqlite:////proc/none/ledger.db", "cannot make the ledger's folder /proc/none"),
        ("postgres://user:hunter2@127.0.0.1:1/ledger", "ledger on PostgreSQL at 127.0.0.1:1 fails: .*refused"),
    ],
)
def test_a_ledger_that_cannot_be_used_says_so(url: str, why: str) -> None:
    with pytest.raises(LedgerUnavailable, match=why) as told:
        Ledger(url)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_database_is_not_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("this is not a database, and long enough to be read as one" * 50)
    with pytest.raises(LedgerUnavailable, match="file is not a database"):
        Ledger(f"sqlite:///{path}")


def test_a_ledger_that_breaks_while_it_is_used_says_so(ledger: Ledger, url: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as other:
        other.execute("DROP TABLE note")
    with pytest.raises(LedgerUnavailable, match="no such table: note"):
        ledger.runs.note("run-1", "saw", "x")
    with pytest.raises(LedgerUnavailable, match="no such table: note"):
        ledger.runs.notes("run-1")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/data", ""),
        ("/srv/team/ledger", "nfs4"),
        ("/srv/team", "nfs4"),
        ("/srv/teamwork", ""),
        ("/srv/team/local/x", ""),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/cloud", "fuse.rclone"),
        ("/mnt/container", ""),
    ],
)
def test_a_network_filesystem_is_recognised(
    folder: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        "23 22 0:40 / /srv/team rw,relatime shared:1 master:2 - nfs4 nas:/team rw\n"
        "24 23 254:1 / /srv/team/local rw - xfs /dev/vdb rw\n"
        "25 22 0:41 / /mnt/my\\040share rw - cifs //nas/share rw\n"
        "26 22 0:42 / /mnt/cloud rw - ext4 /dev/vdc rw\n"
        "27 22 0:43 / /mnt/cloud rw - fuse.rclone cloud: rw\n"
        "28 22 0:44 / /mnt/container rw - fuse.fuse-overlayfs overlay rw\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    assert mounts.network_filesystem(Path(folder)) == kind


def test_a_file_on_a_network_filesystem_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("22 1 0:40 / / rw - nfs nas:/home rw\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    with pytest.raises(LedgerUnavailable, match=r"on nfs, .*RUNBOOKS_LEDGER=postgresql"):
        Ledger(url)
