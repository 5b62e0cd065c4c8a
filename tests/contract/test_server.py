"""The Prefect server on SQLite: its event loop goes on while garbage of the database is collected, and a transaction
that reads first and writes then is not thrown out by another one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from deployments.server import take_turns
from tasks.version import ROOT


def stands_still(folder: Path, how: str) -> float:
    """For how many seconds an event loop stood still."""
    program = [sys.executable, str(Path(__file__).with_name("collected_cursor.py")), str(folder / "some.db"), how]
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=True
    )
    return float(done.stdout)


def test_an_event_loop_stands_still_when_it_collects_a_cursor(tmp_path: Path) -> None:
    """What the server is kept from: as long as SQLite has patience, which is three seconds here."""
    assert stands_still(tmp_path, "anywhere") > 2


def test_it_goes_on_when_another_thread_collects(tmp_path: Path) -> None:
    assert stands_still(tmp_path, "apart") < 1


async def two_writers(database: Path) -> int:
    """One reads, another one writes, the first writes too. How many rows there are in the end."""
    configuration = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{database}")
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.exec_driver_sql("create table bucket (count)")
    has_read, may_write = asyncio.Event(), asyncio.Event()

    async def write(session: AsyncSession) -> None:
        await session.execute(sa.text("insert into bucket values (1)"))

    async def first() -> None:
        async with await configuration.session(engine) as session, configuration.begin_transaction(session):
            await session.execute(sa.text("select * from bucket"))
            has_read.set()
            await may_write.wait()
            await write(session)

    async def second() -> None:
        await has_read.wait()
        async with await configuration.session(engine) as session, configuration.begin_transaction(session):
            await write(session)

    writing = [asyncio.create_task(first()), asyncio.create_task(second())]
    await asyncio.wait(writing, timeout=1, return_when=asyncio.FIRST_COMPLETED)
    may_write.set()
    try:
        await asyncio.gather(*writing)
        async with engine.connect() as connection:
            return int((await connection.exec_driver_sql("select count(*) from bucket")).scalar_one())
    finally:
        await engine.dispose()


def test_a_transaction_that_has_read_is_thrown_out_when_another_one_writes(tmp_path: Path) -> None:
    """What the server is kept from. When Prefect mends this, `take_turns` can go."""
    with pytest.raises(OperationalError, match="database is locked"):
        asyncio.run(two_writers(tmp_path / "some.db"))


def test_transactions_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    take_turns()
    assert asyncio.run(two_writers(tmp_path / "some.db")) == 2


def test_it_takes_the_options_of_prefect() -> None:
    program = [sys.executable, "-m", "deployments.cli", "server", "--nonsense"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--nonsense" in done.stdout + done.stderr
