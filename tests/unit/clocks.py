"""A steady clock that stands still until it is told to go on."""

from __future__ import annotations

import time

import pytest


class Steady:
    """In place of `time.monotonic`, for the rest of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)

    def forward(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds
