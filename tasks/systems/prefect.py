"""The Prefect server: a client of it."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Literal

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.orchestration import get_client as _get_client
from prefect.settings import PREFECT_API_URL


def get_client(*, sync_client: Literal[True]) -> SyncPrefectClient:
    """Prefect's client, as Prefect makes it; but for a server without TLS it reads no certificates.

    To read them takes longer than to ask, and the server is asked before every write.
    """
    plain = (PREFECT_API_URL.value() or "").startswith("http://")
    return _get_client(httpx_settings={"verify": _nobody()} if plain else None, sync_client=sync_client)


@cache
def _nobody() -> ssl.SSLContext:
    """Trusts no certificate at all."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
