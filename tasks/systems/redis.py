"""Redis: whether it answers."""

from __future__ import annotations

import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


class NoRedisUrl(Exception):
    """The URL cannot be read. It is not shown, because there may be a password in it."""

    def __str__(self) -> str:
        return "the Redis URL of the site cannot be read: /, #, ? and @ in its password have to be percent-encoded"


def ping(url: str, timeout: float = 3.0) -> float:
    """The time of one PING, in seconds. One attempt: the client's own silent retries are off.

    Raises:
        redis.RedisError: no connection, no answer, or a server that is still loading.
        NoRedisUrl: the URL cannot be read.
    """
    times = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    try:
        found = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **times)
    except ValueError:  # which shows a part of the password
        raise NoRedisUrl from None
    with found as connection:
        began = time.monotonic()
        connection.ping()
        return time.monotonic() - began
