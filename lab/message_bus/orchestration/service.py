"""One pod of the service, from its start to its end."""

from __future__ import annotations

import asyncio
from typing import Protocol

from redis.exceptions import RedisError

from lab.message_bus.orchestration.adapter import EventToTaskMapper
from lab.message_bus.orchestration.audit import AuditLog
from lab.message_bus.orchestration.downstream import Downstream
from lab.message_bus.orchestration.endpoints import Endpoints
from lab.message_bus.orchestration.journal import Journal
from lab.message_bus.orchestration.meters import Meters
from lab.message_bus.orchestration.settings import Settings
from lab.message_bus.orchestration.store import TaskStore
from lab.message_bus.orchestration.upkeep import Upkeep
from lab.message_bus.orchestration.workers import WorkerPool
from lab.web import serve

RECONNECT_SECONDS = 0.5


class Stepper(Protocol):
    """Work that is done in steps, each of which may lose Redis."""

    async def step(self) -> None:
        """Do a little, for a second at most."""

    async def reconnected(self) -> None:
        """Make good what a step that lost Redis may have left undone."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until told to stop, then give back what is in hand."""
    journal, meters, downstream = Journal(), Meters(settings.worker_pool_size), Downstream()
    store = TaskStore(settings.redis_url, settings.pod)
    pool = WorkerPool(settings.worker_pool_size, settings.max_retries, store, downstream, meters, journal)
    upkeep = Upkeep(store, pool, downstream, journal)
    steppers: list[Stepper] = [EventToTaskMapper(store, meters, journal), pool, upkeep]
    working = asyncio.Event()
    endpoints = Endpoints(store, meters, AuditLog(settings.audit_log, settings.namespace), working.is_set)
    server = await serve(endpoints.routes(), settings.host, settings.port)
    journal.text("INFO", f"orchestration starting: {settings.worker_pool_size} workers, port {settings.port}")
    await _connect(store, upkeep, journal, stop)
    working.set()
    await asyncio.gather(*(_repeat(stepper, stop, journal) for stepper in steppers))
    working.clear()
    await pool.drain()
    try:
        journal.text("INFO", f"orchestration stopping: {await store.sign_off()} tasks are queued again")
    except RedisError as error:
        journal.text("ERROR", f"redis is gone, the other pods will recover the tasks of this one: {error}")
    server.close()
    await store.close()


async def _connect(store: TaskStore, upkeep: Upkeep, journal: Journal, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            # A container that was killed and started again in the same pod gives back what it had in hand.
            await store.sign_off()
            await upkeep.show_alive()
            journal.text("INFO", "redis connected")
            return
        except RedisError as error:
            journal.text("ERROR", f"redis connection failed: {error}", kind="reconnect")
            await asyncio.sleep(RECONNECT_SECONDS)


async def _repeat(stepper: Stepper, stop: asyncio.Event, journal: Journal) -> None:
    name, connected = type(stepper).__name__, True
    while not stop.is_set():
        try:
            if not connected:
                await stepper.reconnected()
                journal.text("INFO", f"[{name}] redis connected")
                connected = True
            await stepper.step()
        except RedisError as error:
            if connected:
                journal.text("ERROR", f"[{name}] redis connection lost: {error}")
            connected = False
            await asyncio.sleep(RECONNECT_SECONDS)
