"""`python -m lab.message_bus.orchestration`: one pod of the service, with settings from the environment."""

from __future__ import annotations

import asyncio
import signal

from lab.message_bus.orchestration.service import run
from lab.message_bus.orchestration.settings import Settings


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await run(Settings.from_environment(), stop)


if __name__ == "__main__":
    asyncio.run(main())
