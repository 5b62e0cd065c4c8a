"""An event loop with two connections to one SQLite file: prints for how many seconds it stood still.

`collected_cursor.py FILE apart|anywhere`: garbage is collected in a thread of its own, or wherever it happens to be.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from functools import partial

import aiosqlite

from deployments.server import collect_apart

PATIENCE_SECONDS = 3.0  # how long SQLite waits for the writer


async def main(path: str) -> float:
    connect = partial(aiosqlite.connect, path, isolation_level=None)
    async with connect() as writer, connect(timeout=PATIENCE_SECONDS) as other:
        await writer.execute("PRAGMA journal_mode=WAL")
        await writer.execute("CREATE TABLE IF NOT EXISTS t (x)")
        await writer.execute("BEGIN IMMEDIATE")
        cycle = [await other.execute("SELECT 1 UNION SELECT 2")]  # not read to its end
        cycle.append(cycle)  # type: ignore[arg-type]
        await other.execute("SELECT 1")  # the connection's thread keeps the last cursor
        waiting = asyncio.create_task(_insert(other))
        await asyncio.sleep(0.3)  # it waits for the writer now, and has its connection
        del cycle
        longest = await _tick(writer)
        await waiting
        return longest


async def _insert(connection: aiosqlite.Connection) -> None:
    with suppress(aiosqlite.OperationalError):  # where the loop stood still, SQLite has lost its patience
        await connection.execute("INSERT INTO t VALUES (1)")


async def _tick(writer: aiosqlite.Connection) -> float:
    """Makes objects, so that Python wants to collect, for a second; the longest tick in seconds."""
    kept: list[object] = []
    longest, over = 0.0, time.monotonic() + 1
    while (began := time.monotonic()) < over:
        kept.extend([] for _ in range(2000))
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - began)
    await writer.execute("COMMIT")
    return longest


if __name__ == "__main__":
    if sys.argv[2] == "apart":
        collect_apart()
    sys.stdout.write(f"{asyncio.run(main(sys.argv[1]))}\n")
