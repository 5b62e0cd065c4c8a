"""The worker pool of a pod: at most so many tasks at once, each waiting for the system downstream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass

from redis.exceptions import RedisError

from lab.message_bus.orchestration.downstream import Downstream
from lab.message_bus.orchestration.journal import Journal
from lab.message_bus.orchestration.meters import Meters
from lab.message_bus.orchestration.store import TaskStore
from lab.message_bus.orchestration.tasks import BY_NAME, Task

# The longest that a step waits, and so the longest that a stopping pod does.
PATIENCE_SECONDS = 1
LONG_SECONDS = 5.0


@dataclass(frozen=True)
class _Work:
    task: Task
    begun: float
    job: asyncio.Task[None]


class WorkerPool:
    """Works off the queue."""

    def __init__(
        self, size: int, max_retries: int, store: TaskStore, downstream: Downstream, meters: Meters, journal: Journal
    ) -> None:
        """A pool of `size` workers; a task is tried once, and up to `max_retries` times again."""
        self._size, self._max_retries = size, max_retries
        self._store, self._downstream, self._meters, self._journal = store, downstream, meters, journal
        self._works: dict[str, _Work] = {}
        self._stranded = self._backlog = False
        # Who is just taking the next task from a queue that has more is not idle.
        meters.workers_active.set_function(lambda: self._size if self._backlog else len(self._works))

    async def step(self) -> None:
        """Give tasks to the free workers, or wait a moment for a task or a worker."""
        if self._stranded:
            await self.reconnected()
        room = self._size - len(self._works)
        if room == 0:
            jobs = [work.job for work in self._works.values()]
            await asyncio.wait(jobs, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return
        task_id = None
        if not self._backlog and (task_id := await self._store.next_task_id(PATIENCE_SECONDS)) is None:
            return
        begun = asyncio.get_running_loop().time()
        try:
            found = await self._store.start(task_id, room)
        except RedisError:
            self._backlog = False  # Nobody can tell now.
            raise
        started = 0
        for each in found:
            if isinstance(each, Task):
                self._works[each.id] = _Work(each, begun, asyncio.create_task(self._work(each, begun)))
                started += 1
            else:
                self._journal.event("waiting_for_dependency", task_id=each.task_id, dependency=each.dependency)
                self._journal.logfmt("waiting", task_id=each.task_id, waiting_on_dependency=each.dependency)
        # As long as every free worker finds a task there are probably more, and nobody needs to wait for one.
        self._backlog = started == room

    async def reconnected(self) -> None:
        """Give back what an interrupted step, or a worker that could not report its end, has left in hand."""
        await self._store.put_back_tasks(keep=self._works.keys())
        self._stranded = False

    async def cancel(self, task_ids: Collection[str]) -> None:
        """Stop working on those of the tasks that this pod runs, and forget them."""
        for task_id in task_ids & self._works.keys():
            await self._interrupt([self._works[task_id]])
            await self._store.finish(task_id, succeeded=False)
            self._journal.event("task_cancelled", level="warning", task_id=task_id)

    async def let_go(self) -> None:
        """Stop working on what never ends and was taken over by another pod, because this one had been silent.

        What does end needs no such care: here it just does not count.
        """
        now = asyncio.get_running_loop().time()
        long = {task_id for task_id, work in self._works.items() if now - work.begun > LONG_SECONDS}
        if long:
            lost = long - await self._store.in_hand()
            await self._interrupt([self._works[task_id] for task_id in lost & self._works.keys()])

    async def drain(self) -> None:
        """Let go of everything; the tasks stay in hand, to be given back."""
        self._backlog = False
        await self._interrupt(list(self._works.values()))

    def report_long_tasks(self) -> None:
        """Write down which tasks are taking long."""
        now = asyncio.get_running_loop().time()
        for work in self._works.values():
            if now - work.begun > LONG_SECONDS:
                name, milliseconds = work.task.task_name, round(1000 * (now - work.begun))
                self._journal.event("task_running", task_name=name, duration_ms=milliseconds, task_id=work.task.id)

    async def _interrupt(self, works: list[_Work]) -> None:
        for work in works:
            work.job.cancel()
        await asyncio.gather(*(work.job for work in works), return_exceptions=True)

    async def _work(self, task: Task, begun: float) -> None:
        kind, clock = BY_NAME[task.task_name], asyncio.get_running_loop()
        try:
            await self._downstream.call(until=begun + kind.draw_seconds())
            if task.hangs:
                await asyncio.Event().wait()  # Nobody will ever set it: only who cancels the task frees the worker.
            seconds = clock.time() - begun
            if random.random() < kind.failure_share:  # noqa: S311 - no secret
                await self._failed(task, seconds)
            elif await self._store.finish(task.id, succeeded=True):
                self._completed(task, seconds)
        except RedisError as error:
            self._stranded = True
            self._journal.event("task_unreported", level="error", task_id=task.id, error=str(error))
        finally:
            del self._works[task.id]

    def _completed(self, task: Task, seconds: float) -> None:
        name = task.task_name
        self._meters.completed.labels(name).inc()
        self._meters.duration.labels(name).observe(seconds)
        self._journal.event("task_completed", task_name=name, duration_ms=round(1000 * seconds, 1), task_id=task.id)
        self._journal.logfmt(
            "task_duration", level="info", msg="task_duration", task_name=name, seconds=f"{seconds:.3f}"
        )

    async def _failed(self, task: Task, seconds: float) -> None:
        name = task.task_name
        self._meters.failed.labels(name).inc()
        error = "the system downstream answered 503"
        milliseconds = round(1000 * seconds, 1)
        self._journal.event(
            "task_failed", level="error", task_name=name, duration_ms=milliseconds, task_id=task.id, error=error
        )
        if task.attempts > self._max_retries:
            await self._store.finish(task.id, succeeded=False)
        elif await self._store.retry(task.id):
            self._journal.event(
                "task_retry", level="warning", task_name=name, task_id=task.id, attempt=task.attempts + 1
            )
