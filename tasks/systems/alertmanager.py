"""Alertmanager: which alerts are active, and how it is set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tasks.systems.prometheus import quote
from tasks.systems.tls import trusted


class Alertmanager:
    """An Alertmanager, API v2."""

    def __init__(self, url: str, timeout: float = 5.0, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, verify=trusted())

    def get(self, path: str, params: Mapping[str, str | list[str]] | None = None) -> Any:
        """What an endpoint of the API answers.

        Raises:
            httpx.HTTPError: no answer, or an error.
        """
        response = self._http.get(path, params=params)
        response.raise_for_status()
        return response.json()

    def active(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with at least these labels is active, silenced and inhibited ones included.

        Raises:
            httpx.HTTPError: no answer, or an error: then nothing is known.
        """
        matchers = [f"{key}={quote(value)}" for key, value in labels.items()]
        return bool(self.get("/api/v2/alerts", {"active": "true", "filter": matchers}))
