"""`v1 Event`s, as components report what they did: what `kubectl describe` shows."""

from __future__ import annotations

import asyncio
import logging
import uuid

from lab.kubernetes import timestamps
from lab.kubernetes.client import EVENTS, ApiClient, ApiStatusError, ApiUnreachableError
from lab.kubernetes.objects import Object, name_of, namespace_of

_log = logging.getLogger(__name__)
_REMEMBERED = 1_000


class EventRecorder:
    """Posts events in the background; a repeated one counts up. An event that cannot be posted is only logged."""

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._posted: dict[tuple[str, ...], Object] = {}
        self._pending: asyncio.Queue[tuple[Object, str, str, str]] = asyncio.Queue()

    def normal(self, regarding: Object, reason: str, message: str) -> None:
        self._pending.put_nowait((regarding, "Normal", reason, message))

    def warning(self, regarding: Object, reason: str, message: str) -> None:
        self._pending.put_nowait((regarding, "Warning", reason, message))

    async def run(self) -> None:
        """Posts what was reported, in order, for ever."""
        while True:
            regarding, kind, reason, message = await self._pending.get()
            try:
                await self._post(regarding, kind, reason, message)
            except (ApiStatusError, ApiUnreachableError) as error:
                _log.warning("event %s of %s not posted: %s", reason, name_of(regarding), error)

    async def _post(self, regarding: Object, kind: str, reason: str, message: str) -> None:
        key = (regarding["metadata"]["uid"], kind, reason, message)
        present = timestamps.seconds()
        known = self._posted.get(key)
        if known is not None:
            changes = {"count": known["count"] + 1, "lastTimestamp": present}
            try:
                self._posted[key] = await self._client.patch(EVENTS.path_of(known), changes)
                return
            except ApiStatusError as error:
                if error.code != 404:
                    raise
        namespace = namespace_of(regarding) or "default"
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(regarding)}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": regarding["apiVersion"],
                "kind": regarding["kind"],
                "name": name_of(regarding),
                "namespace": namespace_of(regarding),
                "uid": regarding["metadata"]["uid"],
                "resourceVersion": regarding["metadata"].get("resourceVersion", ""),
            },
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": present,
            "lastTimestamp": present,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        self._posted[key] = await self._client.create(EVENTS.path(namespace), event)
        if len(self._posted) > _REMEMBERED:
            del self._posted[next(iter(self._posted))]
