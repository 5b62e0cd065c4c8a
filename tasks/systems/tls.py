"""The certificates that HTTPS connections trust."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """The trusted certificates of this machine, read once per process: reading takes longer than most questions."""
    return httpx.create_ssl_context()
