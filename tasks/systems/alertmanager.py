"""Alertmanager: whether an alert is active."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tasks.systems.prometheus import quote
from tasks.systems.tls import trusted


class Alertmanager:
    """An Alertmanager, API v2."""

    def __init__(self, url: str, timeout: float = 5.0, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, verify=trusted())

    def active(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with at least these labels is active, silenced and inhibited ones included.

        Raises:
            httpx.HTTPError: no answer, or an error: then nothing is known.
        """
        matchers = [f"{key}={quote(value)}" for key, value in labels.items()]
        response = self._http.get("/api/v2/alerts", params={"active": "true", "filter": matchers})
        response.raise_for_status()
        return bool(response.json())
