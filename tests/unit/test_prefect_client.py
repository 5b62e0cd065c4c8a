"""The client of the Prefect server: no certificates are read where none are needed, and none are trusted there."""

from __future__ import annotations

import ssl

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.systems.prefect import get_client


def contexts(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[int, ssl.SSLContext]:
    """How often certificates were read for a client, and what it trusts."""
    read: list[object] = []
    make = ssl.create_default_context

    def counted(**of: str) -> ssl.SSLContext:
        read.append(of)
        return make(**of)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        return len(read), client._client._transport._pool._ssl_context  # type: ignore[attr-defined]


def test_a_server_without_tls_needs_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    read, trusted = contexts(monkeypatch, "http://127.0.0.1:1/api")
    assert (read, trusted.cert_store_stats()["x509"]) == (0, 0)
    assert (trusted.verify_mode, trusted.check_hostname) == (ssl.CERT_REQUIRED, True), "and is no way round them"


def test_a_server_with_tls_is_checked_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    read, trusted = contexts(monkeypatch, "https://127.0.0.1:1/api")
    assert read == 1
    assert trusted.cert_store_stats()["x509"] > 0
    assert (trusted.verify_mode, trusted.check_hostname) == (ssl.CERT_REQUIRED, True)
