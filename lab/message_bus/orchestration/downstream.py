"""The system that every task calls in the end. It may stop answering; who called then waits until it answers again."""

from __future__ import annotations

import asyncio

from lab.message_bus import control


class Downstream:
    """Somebody else's service."""

    def __init__(self) -> None:
        """It answers, at first."""
        self._answers = asyncio.Event()
        self._answers.set()

    def become(self, state: control.Downstream) -> None:
        """Change for better or worse, also for the calls that are under way."""
        if state is control.Downstream.HANGS:
            self._answers.clear()
        else:
            self._answers.set()

    async def call(self, until: float) -> None:
        """Call it; the answer comes at `until`, a time of the event loop's clock, if it answers at all."""
        await asyncio.sleep(until - asyncio.get_running_loop().time())
        await self._answers.wait()
