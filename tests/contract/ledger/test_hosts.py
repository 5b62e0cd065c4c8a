"""The ledger between processes, and on a PostgreSQL that fails: what was not written is told, nothing is half done."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest

from tasks.ledger import Ledger, LedgerUnavailable, database
from tasks.version import ROOT
from tests.contract.ledger.places import Place, at_least, incident, intend, replicas
from tests.contract.postgres import Postgres

WORKER = """
import sys
from tasks.ledger import Busy, Ledger, LockLost
from tasks.model.outcome import Severity
from tests.contract.ledger.places import acquire, at_least, intend, replicas
name, ledger = sys.argv[2], Ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(8):
    run = f"{name}-{turn}"
    try:
        (held,) = acquire(ledger, run, severity=list(Severity)[(turn + len(name)) % 3])
        intend(ledger, replicas(2, 5, at_least(5)), run, held=[held])
        print(held.epoch, flush=True)
    except (Busy, LockLost):
        continue
    ledger.locks.release(run)
print(ledger.incidents.claim(sys.argv[3], name), ledger.pages.once("i-1", "escalation", 1, ["pagerduty"]), flush=True)
"""


def test_processes_share_locks_incidents_and_calls(place: Place, ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, place.url, "x" * number, raised.id],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for number in (1, 2, 3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [worker.communicate(timeout=60)[0].splitlines() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    epochs = [int(line) for lines in said for line in lines[:-1]]
    assert epochs
    assert len(set(epochs)) == len(epochs), "each epoch had one holder"
    answers = [lines[-1].split() for lines in said]
    assert [claimed for claimed, _ in answers].count("True") == 1
    assert [called for _, called in answers].count("True") == 1
    (held,) = ledger.claims.holdings()
    assert held.baseline == {"replicas": 2}
    assert len(held.claims) == len(epochs)


# ---- a PostgreSQL that fails ---------------------------------------------------------------------------------------


@pytest.fixture
def url(postgres: Postgres, postgres_ledger: str) -> str:
    return postgres.url(postgres_ledger)


@pytest.fixture
def on_postgres(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as found:
        yield found


def test_connections_that_were_cut_are_made_again(
    postgres: Postgres, postgres_ledger: str, on_postgres: Ledger
) -> None:
    on_postgres.now()
    postgres.cut(postgres_ledger)
    assert on_postgres.now()
    assert on_postgres.runs.note("cut", "saw", "x")


def test_a_connection_that_is_cut_in_the_middle_leaves_nothing_half_done(
    postgres: Postgres, postgres_ledger: str, on_postgres: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = on_postgres.claims._claim

    def cut_off(*values: object) -> None:
        postgres.cut(postgres_ledger)
        begin(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(on_postgres.claims, "_claim", cut_off)
    with pytest.raises(LedgerUnavailable, match=r"postgres on PostgreSQL at 127.0.0.1:.* fails: "):
        intend(on_postgres, replicas(2, 5, at_least(5)), "cut off")
    assert on_postgres.changes.of_run("cut off") == []
    monkeypatch.undo()
    number = intend(on_postgres, replicas(2, 5, at_least(5)), "cut off")
    on_postgres.claims.withdraw(number)


def test_nobody_waits_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database._POSTGRESQL, "options", "-c lock_timeout=300ms")
    with closing(Ledger(url)) as ledger, psycopg.connect(url) as other:
        other.execute("LOCK TABLE note IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            ledger.runs.note("run-1", "saw", "x")
        assert time.monotonic() - began < 5


def test_a_database_that_is_not_there_is_told(postgres: Postgres) -> None:
    with pytest.raises(LedgerUnavailable, match='database "nowhere" does not exist'):
        Ledger(postgres.url("runbooks", "nowhere"))


def test_a_user_who_may_not_write_is_told(postgres: Postgres) -> None:
    user = postgres.create()
    postgres.run(f"DROP SCHEMA {user}")
    with pytest.raises(LedgerUnavailable, match="permission denied"):
        Ledger(postgres.url(user))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_address_is_understood(url: str, scheme: str) -> None:
    with closing(Ledger(url.replace("postgresql", scheme))) as ledger:
        assert ledger.now()
