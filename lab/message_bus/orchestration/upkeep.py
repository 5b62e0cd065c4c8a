"""What a pod does twice a second beside its work."""

from __future__ import annotations

import asyncio
import time

from lab.message_bus.control import POLL_SECONDS
from lab.message_bus.orchestration.downstream import Downstream
from lab.message_bus.orchestration.journal import Journal
from lab.message_bus.orchestration.store import SILENCE_SECONDS, TaskStore
from lab.message_bus.orchestration.workers import WorkerPool


class Upkeep:
    """Shows that the pod is alive, takes over from silent pods, cancels tasks, looks at the world outside."""

    def __init__(self, store: TaskStore, pool: WorkerPool, downstream: Downstream, journal: Journal) -> None:
        """Look after a pool."""
        self._store, self._pool, self._downstream, self._journal = store, pool, downstream, journal
        self._connected_at = time.monotonic()

    async def show_alive(self) -> None:
        """Look at the world outside, and say that this pod is alive and what it saw."""
        downstream = (await self._store.control()).downstream
        self._downstream.become(downstream)
        await self._store.beat(downstream)

    async def step(self) -> None:
        """One round."""
        await self.show_alive()
        if time.monotonic() - self._connected_at > SILENCE_SECONDS:
            for pod, tasks in (await self._store.recover_silent_pods()).items():
                self._journal.text("WARN", f"pod {pod} is silent: {tasks} of its tasks are queued again")
        await self._store.release()
        await self._pool.let_go()
        await self._pool.cancel(await self._store.cancellations())
        self._pool.report_long_tasks()
        await asyncio.sleep(POLL_SECONDS)

    async def reconnected(self) -> None:
        """While Redis was away, the others could not show that they are alive: give them time to."""
        await self._store.ping()
        self._connected_at = time.monotonic()
