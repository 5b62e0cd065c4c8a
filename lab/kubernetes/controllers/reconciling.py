"""A work queue: each key is reconciled one at a time, again after errors, and never twice at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lab.kubernetes.client import ApiStatusError, ApiUnreachableError
from lab.kubernetes.informer import NamespacedName

_FIRST_RETRY = 0.05
_LONGEST_RETRY = 10.0
_log = logging.getLogger(__name__)


class WorkQueue:
    """Keys to reconcile. `reconcile` must be idempotent: it is called at least once after each `add`."""

    def __init__(self, name: str, reconcile: Callable[[NamespacedName], Awaitable[None]]) -> None:
        self._name = name
        self._reconcile = reconcile
        self._waiting: dict[NamespacedName, None] = {}
        self._failures: dict[NamespacedName, int] = {}
        self._timers: dict[NamespacedName, asyncio.TimerHandle] = {}
        self._available = asyncio.Event()

    def add(self, key: NamespacedName) -> None:
        self._waiting[key] = None
        self._available.set()

    def add_after(self, key: NamespacedName, seconds: float) -> None:
        """Adds the key later; of several such wishes the earliest holds."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def run(self) -> None:
        """Reconciles for ever."""
        while True:
            while not self._waiting:
                self._available.clear()
                await self._available.wait()
            key = next(iter(self._waiting))
            del self._waiting[key]
            await self._attempt(key)

    async def _attempt(self, key: NamespacedName) -> None:
        try:
            await self._reconcile(key)
            self._failures.pop(key, None)
        except (ApiStatusError, ApiUnreachableError) as error:
            # A conflict is no fault: the object changed meanwhile, and the newer state is already on its way.
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = min(_FIRST_RETRY * 2**failures, _LONGEST_RETRY)
            _log.info("%s %s: %s; again in %.1f s", self._name, key, error, pause)
            self.add_after(key, pause)

    def _due(self, key: NamespacedName) -> None:
        self._timers.pop(key, None)
        self.add(key)
