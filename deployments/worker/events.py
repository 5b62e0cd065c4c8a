"""The events by which Prefect tells at once what the worker would find by asking: a run is scheduled, or cancelled.

They only save time. Events may be lost, so the worker asks as well; and what it finds by asking is what counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter

from tasks.systems.errors import explain

SCHEDULED = "prefect.flow-run.Scheduled"
CANCELLING = "prefect.flow-run.Cancelling"
_RUN = "prefect.flow-run."
CONNECT_AGAIN_SECONDS = 5.0

log = logging.getLogger("runbooks.worker")


async def follow(pool: UUID, hear: Callable[[str, UUID], None]) -> None:
    """Hears the events of the pool's runs, for ever: name of the event and id of the run."""
    wanted = EventFilter(
        event=EventNameFilter(name=[SCHEDULED, CANCELLING]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool}"]),
    )
    while True:
        try:
            async with get_events_subscriber(filter=wanted, reconnection_attempts=0) as events:
                async for event in events:
                    _pass_on(event, hear)
        except Exception as error:  # whatever breaks the line: asking goes on, only slower
            log.info("Prefect's events cannot be heard, runs are asked for instead: %s", explain(error))
        await asyncio.sleep(CONNECT_AGAIN_SECONDS)


def _pass_on(event: Event, hear: Callable[[str, UUID], None]) -> None:
    run = event.resource.id.removeprefix(_RUN)
    try:
        hear(event.event, UUID(run))
    except ValueError:
        log.warning("an event about %r, which is no run", event.resource.id)
