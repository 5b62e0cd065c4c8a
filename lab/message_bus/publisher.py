"""`python -m lab.message_bus.publisher`: sends events at a steady rate, as the applications around the bus do.

Environment: REDIS_URL, PUBLISHER (which of the applications it is), EVENT_RATE (events per second of this replica),
EVENT_RATE_LIMIT (an upper bound).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from lab.message_bus.connection import connect, texts
from lab.message_bus.control import CONTROL_KEY, POLL_SECONDS, Control
from lab.message_bus.events import EVENT_QUEUE, Event

log = logging.getLogger("publisher")

TICK_SECONDS = 0.05
# After a stall (Redis away, a starved machine) at most this much is made up for: applications do not save up events.
CATCH_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """How this replica publishes; rates are events per second."""

    redis_url: str
    publisher: str
    rate: float
    rate_limit: float | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment.

        Raises:
            KeyError: REDIS_URL, PUBLISHER or EVENT_RATE is not set.
            ValueError: a rate is not a number.
        """
        limit = os.environ.get("EVENT_RATE_LIMIT")
        return cls(
            os.environ["REDIS_URL"],
            os.environ["PUBLISHER"],
            float(os.environ["EVENT_RATE"]),
            float(limit) if limit else None,
        )

    def rate_under(self, control: Control) -> float:
        """The rate to publish at, given how busy the world is."""
        rate = self.rate * control.rate_factor_of(self.publisher)
        return rate if self.rate_limit is None else min(rate, self.rate_limit)


async def publish(settings: Settings, stop: asyncio.Event) -> None:
    """Publish until told to stop."""
    redis = connect(settings.redis_url)
    control, control_read_at, rate, due, last = Control(), 0.0, 0.0, 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(_seconds_until_the_next(rate, due))
        now = time.monotonic()
        try:
            if now - control_read_at >= POLL_SECONDS:
                control, control_read_at = Control.parse(texts(await redis.hgetall(CONTROL_KEY))), now
            rate = settings.rate_under(control)
            due, last = min(due + rate * (now - last), rate * CATCH_UP_SECONDS + 1), now
            if due >= 1:
                events = [Event.happening().encode() for _ in range(int(due))]
                await redis.lpush(EVENT_QUEUE, *events)
                due -= len(events)
        except RedisError as error:
            log.error("cannot publish: %s", error)
            await asyncio.sleep(POLL_SECONDS)
    await redis.aclose()


def _seconds_until_the_next(rate: float, due: float) -> float:
    """How long to sleep: till the next event, so that a slow publisher costs next to nothing, or till the next look."""
    return POLL_SECONDS if rate == 0 else min(max((1 - due) / rate, TICK_SECONDS), POLL_SECONDS)


async def main() -> None:
    """Publish until SIGTERM."""
    settings, stop = Settings.from_environment(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    log.info("%s: %g events/s, limit %s", settings.publisher, settings.rate, settings.rate_limit or "none")
    await publish(settings, stop)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main())
