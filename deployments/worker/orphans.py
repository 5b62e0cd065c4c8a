"""What a worker that was killed left behind: a run that goes on, or one that ended without a word."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from deployments.worker.attempt import tell
from deployments.worker.endings import Ending
from deployments.worker.lifeline import GRACE_SECONDS
from deployments.worker.orders import process_name
from deployments.worker.process import Watched
from deployments.worker.records import Record
from deployments.worker.server import Server

LATE_SECONDS = 60.0  # after the time at which an orphan should have ended itself

log = logging.getLogger("runbooks.worker")


async def see_off(server: Server, record: Record, worker: str, orphan_seconds: float) -> None:
    """Waits for the end of a run that goes on, and tells Prefect how the run ended, if it does not know."""
    if record.alive:
        log.warning("run %s goes on in process %d without its worker", str(record.run)[:8], record.pid)
        await _ended(record, orphan_seconds + GRACE_SECONDS + LATE_SECONDS)
    ending = Ending(record.cause, None, record.pid)
    await tell(server, record.run, {None, process_name(record.pid)}, ending, worker, record.mark)


async def _ended(record: Record, seconds: float) -> None:
    """An orphan ends itself when its time is up; one that is halted cannot."""
    with suppress(ProcessLookupError):
        process = Watched(record.pid)
        try:
            async with asyncio.timeout(seconds):
                await process.ended()
        except TimeoutError:
            log.error("run %s did not end when its time was up, and is killed", str(record.run)[:8])
            process.kill()
            await process.ended()
