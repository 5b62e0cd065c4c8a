"""Redis: whether it answers."""

from __future__ import annotations

import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def ping(url: str, timeout: float = 3.0) -> float:
    """The time of one PING, in seconds. One attempt: the client's own silent retries are off.

    Raises:
        redis.RedisError: no connection, no answer, or a server that is still loading.
    """
    with redis.Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    ) as connection:
        began = time.monotonic()
        connection.ping()
        return time.monotonic() - began
