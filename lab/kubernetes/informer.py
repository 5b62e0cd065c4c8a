"""A local copy of one collection, kept up to date by list and watch (client-go's informer)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from lab.kubernetes.client import ApiClient, ApiStatusError, ApiUnreachableError, Collection
from lab.kubernetes.objects import Object, name_of, namespace_of, revision_of, uid_of

_WATCH_SECONDS = 300
_LONGEST_PAUSE = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class NamespacedName:
    """An object's key within its collection."""

    namespace: str
    name: str

    @classmethod
    def of(cls, document: Object) -> NamespacedName:
        return cls(namespace_of(document), name_of(document))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Informer:
    """Calls its subscribers with each object that was added, changed or deleted, after the copy has been updated.

    A controller that writes an object tells the copy at once (`observe`, `forget`): its next look must not find the
    state from before its own write.
    """

    def __init__(self, client: ApiClient, collection: Collection, *on_change: Callable[[Object], None]) -> None:
        self._client = client
        self._collection = collection
        self._subscribers = list(on_change)
        self._objects: dict[NamespacedName, Object] = {}
        self._gone: set[str] = set()
        self.synced = asyncio.Event()

    def subscribe(self, on_change: Callable[[Object], None]) -> None:
        """Calls `on_change` too from now on."""
        self._subscribers.append(on_change)

    def get(self, key: NamespacedName) -> Object | None:
        return self._objects.get(key)

    def all(self, namespace: str = "") -> list[Object]:
        return [each for key, each in self._objects.items() if not namespace or key.namespace == namespace]

    def observe(self, document: Object) -> None:
        """Takes in a newer state, for example the answer to one's own write."""
        key = NamespacedName.of(document)
        known = self._objects.get(key)
        if uid_of(document) in self._gone:
            return
        if known is None or uid_of(known) != uid_of(document) or revision_of(known) <= revision_of(document):
            self._objects[key] = document

    def forget(self, document: Object) -> None:
        """Takes in that an object is gone, whatever the watch may still say of its past."""
        self._gone.add(uid_of(document))
        known = self._objects.get(NamespacedName.of(document))
        if known is not None and uid_of(known) == uid_of(document):
            del self._objects[NamespacedName.of(document)]

    async def run(self) -> None:
        """Lists and watches for ever; after an error it lists again, with pauses up to 5 s."""
        pause = 0.1
        while True:
            try:
                revision = await self._list()
                pause = 0.1
                while True:
                    revision = await self._watch(revision)
            except (ApiStatusError, ApiUnreachableError) as error:
                _log.info("%s: %s; listing again in %.1f s", self._collection.plural, error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _list(self) -> str:
        answer = await self._client.get(self._collection.path())
        kind = {"apiVersion": self._collection.group_version, "kind": str(answer["kind"]).removesuffix("List")}
        present = {NamespacedName.of(item): {**kind, **item} for item in answer["items"]}
        vanished = [document for key, document in self._objects.items() if key not in present]
        self._objects = present
        self._gone.clear()
        self.synced.set()
        for document in (*vanished, *present.values()):
            self._notify(document)
        return str(answer["metadata"]["resourceVersion"])

    async def _watch(self, revision: str) -> str:
        path = self._collection.path()
        async for kind, document in self._client.watch(path, revision, _WATCH_SECONDS, allowWatchBookmarks="true"):
            revision = document["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                self.forget(document)
                self._gone.discard(uid_of(document))
            else:
                self.observe(document)
            self._notify(document)
        return revision

    def _notify(self, document: Object) -> None:
        for subscriber in self._subscribers:
            subscriber(document)
