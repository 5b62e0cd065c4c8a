"""The task queue in Redis, shared by all pods of the service."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lab.message_bus.connection import connect, text, texts
from lab.message_bus.control import CONTROL_KEY, Control, Downstream
from lab.message_bus.events import EVENT_QUEUE, Event
from lab.message_bus.orchestration import scripts
from lab.message_bus.orchestration.tasks import Task

QUEUE = "orchestration:queue"
WAITING = "orchestration:waiting"
TASKS = "orchestration:tasks"
DEPENDENCIES = "orchestration:dependencies"
CANCELLED = "orchestration:cancelled"
COMPLETED = "orchestration:completed"
PODS = "orchestration:pods"
DEAD_LETTERS = "event:dead_letters"

CAPACITY = 1000
# How long a repeated event is recognised.
SEEN_SECONDS = 600
# How long a pod may be silent before the others take over its tasks. A starved process that wakes up later does no
# harm: what it finishes no longer counts.
SILENCE_SECONDS = 4


class Enqueued(StrEnum):
    """What became of an event."""

    QUEUED = "queued"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"


class Cancelled(StrEnum):
    """What became of a request to cancel a task."""

    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Arrival:
    """An event in hand, as it came and as it was read, with the task that it asks for."""

    text: str
    event: Event
    task: Task


@dataclass(frozen=True)
class Waiting:
    """A task that cannot begin before another one has ended."""

    task_id: str
    dependency: str


@dataclass(frozen=True)
class Depth:
    """How many tasks there are, over all pods; `completed` counts since Redis started."""

    pending: int
    running: int
    completed: int


class TaskStore:
    """One pod's view of the shared queue. Every method may raise redis.exceptions.RedisError."""

    def __init__(self, redis_url: str, pod: str) -> None:
        """Connect lazily; `pod` names the lists that hold what this pod has in hand."""
        self._redis = connect(redis_url)
        self._pod = pod
        self._processing, self._events = _lists_of(pod)
        self._take_events = self._redis.register_script(scripts.TAKE_EVENTS)
        self._enqueue = self._redis.register_script(scripts.ENQUEUE)
        self._start = self._redis.register_script(scripts.START)
        self._finish = self._redis.register_script(scripts.FINISH)
        self._retry = self._redis.register_script(scripts.RETRY)
        self._put_back_tasks = self._redis.register_script(scripts.PUT_BACK_TASKS)
        self._put_back_events = self._redis.register_script(scripts.PUT_BACK_EVENTS)
        self._release = self._redis.register_script(scripts.RELEASE)
        self._cancel = self._redis.register_script(scripts.CANCEL)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Ask Redis whether it is there."""
        await self._redis.ping()

    # Events

    async def next_events(self, patience: int, limit: int) -> list[str]:
        """Take up to `limit` events in hand, waiting for the first one up to `patience` seconds."""
        first = await self._redis.blmove(EVENT_QUEUE, self._events, patience, "RIGHT", "LEFT")
        if first is None:
            return []
        return [text(event) for event in [first, *await self._take_events([EVENT_QUEUE, self._events], [limit - 1])]]

    async def enqueue(self, arrivals: Sequence[Arrival]) -> list[Enqueued]:
        """Make events in hand tasks of the queue; what became of each."""
        keys = [QUEUE, WAITING, TASKS, DEPENDENCIES, self._events]
        arguments: list[str | int] = [CAPACITY, SEEN_SECONDS]
        for arrival in arrivals:
            task = arrival.task
            arguments += [arrival.text, task.id, task.encode(), arrival.event.depends_on or ""]
        return [Enqueued(outcome) for outcome in await self._enqueue(keys, arguments)]

    async def put_back_events(self, *, pod: str | None = None) -> None:
        """Give back the events that a pod (this one by default) has in hand."""
        _, events = _lists_of(pod or self._pod)
        await self._put_back_events([events, EVENT_QUEUE])

    async def bury(self, event_text: str) -> None:
        """Put an event in hand that nobody can handle among the dead letters."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.lrem(self._events, 1, event_text)
            pipeline.lpush(DEAD_LETTERS, event_text)
            await pipeline.execute()

    # Tasks

    async def next_task_id(self, patience: int) -> str | None:
        """Take a task in hand, waiting for one up to `patience` seconds."""
        task_id = await self._redis.blmove(QUEUE, self._processing, patience, "RIGHT", "LEFT")
        return None if task_id is None else text(task_id)

    async def start(self, task_id: str | None, room: int) -> list[Task | Waiting]:
        """Begin up to `room` tasks: the one in hand, if there is one, and others of the queue."""
        keys = [QUEUE, self._processing, WAITING, TASKS, DEPENDENCIES]
        outcome = await self._start(keys, [task_id or "", room, self._pod, time.time()])
        return [
            Task.decode(value) if kind == "started" else Waiting(found_id, value) for kind, found_id, value in outcome
        ]

    async def finish(self, task_id: str, *, succeeded: bool) -> bool:
        """Forget a task that ended; False when it was no longer this pod's."""
        keys = [self._processing, TASKS, DEPENDENCIES, CANCELLED, COMPLETED]
        return bool(await self._finish(keys, [task_id, int(succeeded)]))

    async def retry(self, task_id: str) -> bool:
        """Queue a task again whose attempt failed; False when it was no longer this pod's."""
        return bool(await self._retry([self._processing, QUEUE, TASKS], [task_id]))

    async def in_hand(self) -> set[str]:
        """Ids of the tasks that this pod has in hand."""
        return {text(task_id) for task_id in await self._redis.lrange(self._processing, 0, -1)}

    async def put_back_tasks(self, *, keep: Iterable[str] = (), pod: str | None = None) -> int:
        """Give back the tasks that a pod (this one by default) has in hand but does not work on; their number."""
        processing, _ = _lists_of(pod or self._pod)
        return int(await self._put_back_tasks([processing, QUEUE, TASKS], list(keep)))

    async def release(self) -> None:
        """Queue again the tasks that wait for nothing any more."""
        await self._release([WAITING, QUEUE, TASKS, DEPENDENCIES])

    async def cancel(self, task_id: str) -> Cancelled:
        """Cancel a task, or ask the pod that runs it to."""
        return Cancelled(await self._cancel([QUEUE, WAITING, TASKS, DEPENDENCIES, CANCELLED], [task_id]))

    async def cancellations(self) -> set[str]:
        """Ids of running tasks that are to be cancelled."""
        return {text(task_id) for task_id in await self._redis.smembers(CANCELLED)}

    async def tasks(self) -> list[Task]:
        """Every task that is pending or running."""
        return [Task.decode(text(task)) for task in await self._redis.hvals(TASKS)]

    async def dependencies(self) -> dict[str, str]:
        """What waits, or will wait, for what: task id to task id."""
        return texts(await self._redis.hgetall(DEPENDENCIES))

    async def waiting(self) -> set[str]:
        """Ids of the tasks that wait for another one."""
        return {text(task_id) for task_id in await self._redis.smembers(WAITING)}

    async def reset_dependencies(self, task_ids: Collection[str]) -> int:
        """Make tasks wait for nothing; how many had something to wait for."""
        return int(await self._redis.hdel(DEPENDENCIES, *task_ids)) if task_ids else 0

    async def depth(self) -> Depth:
        """Count the tasks, in one instant."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.llen(QUEUE)
            pipeline.scard(WAITING)
            pipeline.hlen(TASKS)
            pipeline.get(COMPLETED)
            queued, waiting, tasks, completed = await pipeline.execute()
        return Depth(queued + waiting, tasks - queued - waiting, int(completed or 0))

    # The pods among themselves

    async def beat(self, downstream: Downstream) -> None:
        """Say that this pod is alive, and how the system downstream looks from here."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.sadd(PODS, self._pod)
            pipeline.set(heartbeat_of(self._pod), downstream.value, ex=SILENCE_SECONDS)
            await pipeline.execute()

    async def recover_silent_pods(self) -> dict[str, int]:
        """Give back what silent pods had in hand: the pods, with the number of tasks of each."""
        recovered = {}
        for pod in map(text, await self._redis.smembers(PODS)):
            if pod != self._pod and not await self._redis.exists(heartbeat_of(pod)):
                await self.put_back_events(pod=pod)
                recovered[pod] = await self.put_back_tasks(pod=pod)
                await self._redis.srem(PODS, pod)
        return recovered

    async def sign_off(self) -> int:
        """Give back everything in hand and leave; the number of tasks given back."""
        await self.put_back_events()
        returned = await self.put_back_tasks()
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.srem(PODS, self._pod)
            pipeline.delete(heartbeat_of(self._pod))
            await pipeline.execute()
        return returned

    async def control(self) -> Control:
        """The state of the world outside."""
        return Control.parse(texts(await self._redis.hgetall(CONTROL_KEY)))


def _lists_of(pod: str) -> tuple[str, str]:
    return f"orchestration:processing:{pod}", f"event:processing:{pod}"


def heartbeat_of(pod: str) -> str:
    """The key that a pod keeps alive while it is."""
    return f"orchestration:heartbeat:{pod}"
