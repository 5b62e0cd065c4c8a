"""How the lab's long-running programs start and stop: a readiness signal, and SIGTERM or SIGINT for a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any


def announce_ready(ready_file: Path | None) -> None:
    """Writes the line `ready` to stdout, and touches `ready_file` when one is given."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if ready_file is not None:
        ready_file.touch()


async def terminated() -> None:
    """Returns when the process is asked to end."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, asked.set)
    await asked.wait()


async def run_until_terminated(*jobs: Coroutine[Any, Any, None]) -> None:
    """Runs jobs that never end until the process is asked to end. A job that fails ends the program with its error."""
    tasks = [asyncio.create_task(job) for job in jobs]
    end = asyncio.create_task(terminated())
    try:
        done, _ = await asyncio.wait([end, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (end, *tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(end, *tasks, return_exceptions=True)
