"""The event adapter: takes events from the bus and puts the tasks that they ask for into the queue."""

from __future__ import annotations

import time

from lab.message_bus.events import Event, MalformedEvent
from lab.message_bus.orchestration.journal import Journal
from lab.message_bus.orchestration.meters import Meters
from lab.message_bus.orchestration.store import Arrival, Enqueued, TaskStore
from lab.message_bus.orchestration.tasks import TASK_TYPES, Task

# The longest that a step waits, and so the longest that a stopping pod does.
PATIENCE_SECONDS = 1
# A flood has to reach the queue much faster than the workers empty it, also on a machine that is short of breath.
EVENTS_AT_ONCE = 50


class EventToTaskMapper:
    """Moves events: nothing is lost in between, and an event that comes twice makes one task."""

    def __init__(self, store: TaskStore, meters: Meters, journal: Journal) -> None:
        """Move events within the store."""
        self._store, self._meters, self._journal = store, meters, journal

    async def step(self) -> None:
        """Move the events that are there, or wait a moment for one."""
        arrivals = []
        for text in await self._store.next_events(PATIENCE_SECONDS, EVENTS_AT_ONCE):
            try:
                event = Event.decode(text)
                arrivals.append(Arrival(text, event, _task_for(event, time.time())))
            except MalformedEvent as error:
                self._journal.text("ERROR", f"[EventToTaskMapper] {error}")
                await self._store.bury(text)
        for arrival, outcome in zip(arrivals, await self._store.enqueue(arrivals), strict=True):
            self._report(arrival, outcome)

    async def reconnected(self) -> None:
        """Give back what an interrupted step may have left in hand."""
        await self._store.put_back_events()

    def _report(self, arrival: Arrival, outcome: Enqueued) -> None:
        event, task, now = arrival.event, arrival.task, time.time()
        self._journal.event("event_received", event_id=event.id, event_type=event.type)
        if outcome is Enqueued.QUEUED:
            self._meters.event_to_task.observe(max(0.0, now - event.occurred_at))
            self._journal.text("INFO", f"[EventToTaskMapper] {event.type} -> {task.task_name}", kind="mapper")
            duration = round(1000 * (now - task.queued_at), 2)
            self._journal.event("enqueue_duration", duration_ms=duration, task_id=task.id)
        elif outcome is Enqueued.REJECTED:
            self._meters.rejected.inc()
            self._journal.event("task_rejected", level="error", task_name=task.task_name, error="task queue is full")


def _task_for(event: Event, now: float) -> Task:
    kind = TASK_TYPES.get(event.type)
    if kind is None:
        raise MalformedEvent(f"event rejected by validation: no task for event type {event.type!r}")
    return Task(event.id, kind.name, queued_at=now, hangs=event.hangs)
