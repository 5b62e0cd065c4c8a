"""The queue's own backend."""

from __future__ import annotations

from dataclasses import dataclass

from flows.message_bus.platform import MessageBus
from tasks.model.evidence import Probe, Reading
from tasks.systems.redis import ping


@dataclass(frozen=True, slots=True)
class RedisAnswer:
    """Redis answered a PING within so many milliseconds."""

    milliseconds: float

    def __str__(self) -> str:
        return f"PING answered in {self.milliseconds:.1f} ms"


def redis_answer(bus: MessageBus) -> Probe[RedisAnswer]:
    """Whether the queue's own backend is up: a restart next to a dead Redis makes things worse."""

    def read() -> Reading[RedisAnswer]:
        return Reading(RedisAnswer(1000 * ping(bus.redis_url.get_secret_value())), "redis PING")

    return Probe("redis", read)
