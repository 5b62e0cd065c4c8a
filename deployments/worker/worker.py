"""The worker: finds the runs that are due, claims them, has them executed, and answers for their end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.exceptions import ObjectNotFound

from deployments.worker.again import again, every
from deployments.worker.attempt import END_SECONDS, Attempt, tell
from deployments.worker.endings import Cause, Ending
from deployments.worker.events import CANCELLING, follow
from deployments.worker.orders import Order, process_name
from deployments.worker.orphans import see_off
from deployments.worker.process import reap_strangers
from deployments.worker.records import Record, Records
from deployments.worker.server import BEAT_SECONDS, CannotStart, NoPool, Server
from deployments.worker.slots import Slots
from deployments.worker.spares import Spares
from tasks.systems.errors import explain

ASK_SECONDS = 2.0  # between two questions for due runs, when no event says that there is one
LOOK_SECONDS = 2.0  # between two looks at the processes
CANCELLED_SECONDS = 10.0  # between two questions for cancelled runs; usually an event is quicker
INTRODUCED_AFTER_SECONDS = 1.0  # writing the process down does not hold up the run's own first calls
TELL_SECONDS = 10.0  # the longest that a worker that ends waits for Prefect to hear how runs ended

log = logging.getLogger("runbooks.worker")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    grace: float = 25.0  # for the runs at work when the worker is told to stop
    silent: float = 90.0  # for a process without a sign of life
    longest: float = 7200.0  # for any run
    orphan: float = 900.0  # for a run whose worker was killed


class Worker:
    """One worker, for the life of its process."""

    def __init__(self, name: str, server: Server, records: Records, slots: Slots, spares: int, patience: Patience):
        self._name = name
        self._server = server
        self._records = records
        self._slots = slots
        self._patience = patience
        self._spares = Spares(spares)
        self._attempts: dict[UUID, Attempt] = {}
        self._orphans: set[UUID] = set()  # runs that still go on without the worker that began them
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def stop(self) -> None:
        """Ends the worker in order; the second time, at once."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def work(self) -> None:
        """Works until it is told to stop.

        Raises:
            NoPool: there is nothing to work on.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, self.stop)
        getting_ready = [self._spawn(self._spares.keep_template()), self._spawn(self._spares.keep_full())]
        try:
            if not await self._reach_the_server():
                return
            for record in self._records.left():
                self._spawn(self._see_off(record))
            finding = self._spawn(again("due runs cannot be asked for", self._start_due, self._until_woken))
            minding = [
                self._spawn(again("no sign of life can be given", self._server.beat, every(BEAT_SECONDS))),
                self._spawn(again("the processes cannot be looked at", self._look, every(LOOK_SECONDS))),
                self._spawn(again("cancelled runs", self._ask_for_cancelled, every(CANCELLED_SECONDS))),
                self._spawn(follow(self._server.pool, self._hear)),
            ]
            await self._stop.wait()
            await _end(finding, *getting_ready)
            await self._drain()
            await _end(*minding)
        finally:
            await _end(*getting_ready)
            await self._spares.stop()

    async def _reach_the_server(self) -> bool:
        """Whether it was reached before the worker was told to stop.

        Raises:
            NoPool: there is nothing to work on.
        """
        reaching, stopping = asyncio.create_task(self._first_beat()), asyncio.create_task(self._stop.wait())
        await asyncio.wait({reaching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        reached = reaching.done() and not self._stop.is_set()
        await _end(*([] if reached else [reaching]), stopping)
        if reached:
            reaching.result()
        return reached

    async def _first_beat(self) -> None:
        said = ""
        while True:
            try:
                await self._server.beat()
                return
            except NoPool:
                raise
            except Exception as error:
                if said != (said := explain(error)):
                    log.warning("the Prefect server cannot be reached, trying on: %s", said)
                await asyncio.sleep(1)

    # ---- finding runs ----

    def _hear(self, event: str, run: UUID) -> None:
        if event != CANCELLING:
            self._wake.set()
        elif run in self._attempts:
            self._tell_to_end(self._attempts[run], Cause.CANCELLED)

    def _tell_to_end(self, attempt: Attempt, cause: Cause) -> None:
        attempt.end(cause)
        # Should Prefect not hear of it while we are here, the next worker will know.
        self._note(Record.of(attempt.run.id, attempt.child.process.pid, attempt.mark, attempt.cause))

    async def _until_woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                await self._wake.wait()

    async def _start_due(self) -> None:
        self._wake.clear()
        due = [run for run in await self._server.due() if run.id not in self._orphans]
        for run in self._slots.choose(due, [attempt.run for attempt in self._attempts.values()]):
            attempt = Attempt(run, await self._spares.take(), self._server.new_mark())
            self._attempts[run.id] = attempt
            self._idle.clear()
            self._spawn(self._see_through(attempt))

    async def _see_through(self, attempt: Attempt) -> None:
        run, taken, spare = attempt.run, True, True
        # Before it is taken: one that was granted, and of which nobody knew after that, would be Pending for ever.
        self._note(Record.of(run.id, attempt.child.process.pid, attempt.mark))
        try:
            order = await self._server.claim(run, attempt.mark, self._patience.orphan)
            taken = order is not None
            if order is not None:
                await self._tell(attempt, await self._execute(attempt, order))
            self._records.forget(run.id)
        except CannotStart as error:
            log.error("run %s (%s) cannot be started: %s", run.name, str(run.id)[:8], error)
            await self._tell(attempt, Ending(Cause.NOT_STARTED, None, attempt.child.process.pid, str(error)))
            self._records.forget(run.id)
        except httpx.HTTPError as error:  # it was not taken; it is found again
            taken = False
            self._records.forget(run.id)
            log.warning("run %s (%s) cannot be taken yet: %s", run.name, str(run.id)[:8], explain(error))
        except Exception:
            spare = False
            attempt.child.process.kill()
            raise
        finally:
            del self._attempts[run.id]
            if spare and not attempt.child.handed:
                self._spares.put_back(attempt.child)
            else:
                attempt.child.dismiss()
            if taken:  # a slot is free; what could not be taken has to wait for its next turn
                self._wake.set()
            if not self._attempts:
                self._idle.set()

    async def _execute(self, attempt: Attempt, order: Order) -> Ending:
        """Hands the run to its child, and waits for the end."""
        run = attempt.run
        if attempt.cause is not Cause.ITSELF:  # it was told to end before it began
            return Ending(attempt.cause, None, attempt.child.process.pid)
        if not attempt.child.process.alive:
            attempt.child.dismiss()
            attempt.child = await self._spares.take()
            self._note(Record.of(run.id, attempt.child.process.pid, attempt.mark))
        child = attempt.child
        child.hand(order)
        log.info("run %s (%s) begins in process %d", run.name, str(run.id)[:8], child.process.pid)
        beside = [self._spawn(child.listen())]
        if order.own is None:  # else the child says so itself, with other things
            beside.append(self._spawn(self._introduce(run.id, process_name(child.process.pid))))
        ending = await attempt.ended()
        await _end(*beside)
        return ending

    async def _tell(self, attempt: Attempt, ending: Ending) -> None:
        # What it said of an earlier attempt it may say still, when this one died in its first second.
        processes = {None, attempt.run.infrastructure_pid, process_name(attempt.child.process.pid)}
        await tell(self._server, attempt.run.id, processes, ending, self._name, attempt.mark)

    def _note(self, record: Record) -> None:
        try:
            self._records.keep(record)
        except OSError as error:  # only the next worker would miss it, if this one is killed
            log.error("run %s cannot be noted in %s: %s", str(record.run)[:8], error.filename, error.strerror)

    async def _introduce(self, run: UUID, process: str) -> None:
        await asyncio.sleep(INTRODUCED_AFTER_SECONDS)
        with suppress(httpx.HTTPError, ObjectNotFound):  # it only helps people to find the process
            await self._server.started(run, process)

    async def _see_off(self, record: Record) -> None:
        self._orphans.add(record.run)
        try:
            await see_off(self._server, record, self._name, self._patience.orphan)
            self._records.forget(record.run)
        finally:
            self._orphans.discard(record.run)

    # ---- minding them ----

    async def _look(self) -> None:
        for attempt in list(self._attempts.values()):
            attempt.look(self._patience.silent, self._patience.longest)
        reap_strangers()

    async def _ask_for_cancelled(self) -> None:
        if self._attempts:
            for run in await self._server.cancelling(self._attempts):
                self._hear(CANCELLING, run)

    # ---- ending ----

    async def _drain(self) -> None:
        if self._attempts:
            log.info("stopping: %d runs may go on for %.0f s", len(self._attempts), self._patience.grace)
            await self._all_over(self._patience.grace, self._hurry)
        for attempt in self._attempts.values():
            self._tell_to_end(attempt, Cause.STOPPED)
        await self._all_over(END_SECONDS + 2 * LOOK_SECONDS + TELL_SECONDS)
        for attempt in list(self._attempts.values()):  # Prefect could not be told; the next worker of this name will
            attempt.child.process.kill()
            await attempt.child.process.ended()

    async def _all_over(self, seconds: float, *or_else: asyncio.Event) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (self._idle, *or_else)]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await _end(*waiting)

    # ---- tasks ----

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("this should not happen", exc_info=error)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
