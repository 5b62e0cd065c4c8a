"""The connection to Redis, as every program of the platform opens it, and its answers as text."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_SECONDS = 5


def connect(url: str) -> Redis:
    """A client that connects when it is first used.

    It does not repeat commands by itself: it would repeat a move whose answer got lost, and strand the first task. With
    the older protocol it notices that a connection has died while nobody used it; with the newer one version 8 of the
    client does not, and the first command after an outage fails once for each connection that it had.
    """
    retry = Retry(NoBackoff(), 0)
    return Redis.from_url(url, decode_responses=True, protocol=2, socket_timeout=TIMEOUT_SECONDS, retry=retry)


def text(value: bytes | str) -> str:
    """An answer as text; the client's types do not know that it decodes."""
    return value if isinstance(value, str) else value.decode()


def texts(fields: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    """A hash as text."""
    return {text(name): text(value) for name, value in fields.items()}
