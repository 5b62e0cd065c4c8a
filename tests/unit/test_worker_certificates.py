"""Prefect's clients share the certificates that were read once."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from prefect.client import orchestration

from deployments.worker import certificates


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is read from now on, by anybody."""
    found: list[Any] = []
    real = ssl.create_default_context

    def counted(*args: Any, **keywords: Any) -> ssl.SSLContext:
        found.append(keywords)
        return real(*args, **keywords)

    for module in certificates.READERS:
        monkeypatch.setattr(module, "ssl", module.ssl)  # put back afterwards
    monkeypatch.setattr(ssl, "create_default_context", counted)
    return found


def clients() -> None:
    orchestration.SyncPrefectClient("http://127.0.0.1:9/api")
    orchestration.PrefectClient("https://127.0.0.1:9/api")


def test_each_client_reads_them_without_it(reads: list[Any]) -> None:
    """When Prefect mends this, the module can go."""
    clients()
    assert len(reads) == 2


def test_they_are_read_once(reads: list[Any]) -> None:
    certificates.read_once()
    before = len(reads)
    clients()
    assert (before, len(reads)) == (1, 1)


def test_only_prefects_own_clients_share(reads: list[Any]) -> None:
    """Who makes a context to change it gets one of its own."""
    certificates.read_once()
    assert ssl.create_default_context() is not ssl.create_default_context()
    shared = {id(module.ssl) for module in certificates.READERS}
    assert len(shared) == 1
    assert certificates.READERS[0].ssl.SSLError is ssl.SSLError
