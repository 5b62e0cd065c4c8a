"""Doing something again and again, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tasks.systems.errors import explain

AFTER_FAILURE_SECONDS = 1.0

log = logging.getLogger("runbooks.worker")


async def again(
    what: str, work: Callable[[], Awaitable[None]], rest: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Does something for ever, with a rest in between; without one it rests only after a failure. What goes wrong is
    told once, as `what`, until it goes well again."""
    said = ""
    while True:
        try:
            await work()
            said, failed = "", False
        except Exception as error:  # whatever it is: nobody else does this work
            failed = True
            if said != (said := explain(error)):
                log.warning("%s, trying on: %s", what, said)
        if rest is not None:
            await rest()
        elif failed:
            await asyncio.sleep(AFTER_FAILURE_SECONDS)


def every(seconds: float) -> Callable[[], Awaitable[None]]:
    """A rest of so many seconds."""
    return lambda: asyncio.sleep(seconds)
