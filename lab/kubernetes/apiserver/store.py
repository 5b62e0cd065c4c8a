"""The store: every object by key, one revision counter, and a history that watches read from.

Documents in the store are never changed in place: a write puts a new one, so they can be handed out without copying.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lab.kubernetes.apiserver.errors import expired, too_large_revision
from lab.kubernetes.apiserver.journal import Entry, Journal, Key
from lab.kubernetes.objects import Object, revision_of

_HISTORY = 5_000
_SUBSCRIBER_BACKLOG = 10_000


@dataclass(frozen=True)
class Event:
    """One write as watches see it; `previous` tells whether a selector matched before."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    document: Object
    previous: Object | None

    @property
    def revision(self) -> int:
        return revision_of(self.document)


class Subscription:
    """The events of one collection after a revision, in order."""

    def __init__(self, collection: tuple[str, str], backlog: list[Event]) -> None:
        self.collection = collection
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in backlog:
            self._events.put_nowait(event)

    def publish(self, event: Event | None) -> None:
        """Called by the store only. A reader that is too far behind is cut off, as the real server does."""
        self._events.put_nowait(None if self._events.qsize() > _SUBSCRIBER_BACKLOG else event)

    async def next(self) -> Event | None:
        """The next event; None when the store closes or the reader was too slow."""
        return await self._events.get()


class Store:
    """Objects by key. `put` and `remove` are the only writes.

    `history` is how many events are kept for watches that start in the past.
    """

    def __init__(self, journal: Journal, history: int = _HISTORY) -> None:
        self.revision = 1
        self._objects: dict[tuple[str, str], dict[Key, Object]] = {}
        self._history: deque[Event] = deque(maxlen=history)
        self._subscriptions: set[Subscription] = set()
        self._journal = journal
        for entry in journal.read():
            self._apply(entry)
        self._first_revision = self.revision
        journal.rewrite(self._live())

    def get(self, key: Key) -> Object | None:
        return self._objects.get((key.group, key.plural), {}).get(key)

    def list(self, collection: tuple[str, str], namespace: str = "") -> list[Object]:
        """All objects of a collection, in one namespace when given, ordered by namespace and name."""
        found = self._objects.get(collection, {})
        return [found[key] for key in sorted(found) if not namespace or key.namespace == namespace]

    def everything(self) -> Iterator[tuple[Key, Object]]:
        for collection in list(self._objects.values()):
            yield from list(collection.items())

    def put(self, key: Key, document: Object) -> Object:
        """Stores a new state of an object under the next revision, and returns it as stored."""
        previous = self.get(key)
        document = self._next(document)
        self._record(Entry(self.revision, key, document))
        self._publish(Event("ADDED" if previous is None else "MODIFIED", key, document, previous))
        return document

    def remove(self, key: Key) -> Object:
        """Forgets an object, and returns its last state with the revision of its removal. Raises KeyError."""
        last = self._next(self._objects[(key.group, key.plural)][key])
        self._record(Entry(self.revision, key, None))
        self._publish(Event("DELETED", key, last, last))
        return last

    def subscribe(self, collection: tuple[str, str], since: int) -> Subscription:
        """The events after revision `since`. Raises ApiError: 410 when they are gone, 504 for one not yet reached."""
        oldest = self._history[0].revision - 1 if len(self._history) == self._history.maxlen else self._first_revision
        if since < oldest:
            raise expired(since, oldest)
        if since > self.revision:
            raise too_large_revision(since, self.revision)
        backlog = [event for event in self._history if event.revision > since and _collection(event) == collection]
        subscription = Subscription(collection, backlog)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Ends every watch and closes the journal."""
        for subscription in self._subscriptions:
            subscription.publish(None)
        self._journal.close()

    def _next(self, document: Object) -> Object:
        self.revision += 1
        return {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.revision)}}

    def _record(self, entry: Entry) -> None:
        self._journal.append(entry)
        self._apply(entry)
        if self._journal.lines > 10 * sum(map(len, self._objects.values())) + 1_000:
            self._journal.rewrite(self._live())

    def _apply(self, entry: Entry) -> None:
        collection = self._objects.setdefault((entry.key.group, entry.key.plural), {})
        if entry.document is None:
            collection.pop(entry.key, None)
        else:
            collection[entry.key] = entry.document
        self.revision = max(self.revision, entry.revision)

    def _live(self) -> Iterator[Entry]:
        for key, document in self.everything():
            yield Entry(revision_of(document), key, document)
        # The counter outlives the objects: a removal may hold the highest revision.
        yield Entry(self.revision, Key("", "", "", ""), None)

    def _publish(self, event: Event) -> None:
        self._history.append(event)
        for subscription in self._subscriptions:
            if subscription.collection == _collection(event):
                subscription.publish(event)


def _collection(event: Event) -> tuple[str, str]:
    return (event.key.group, event.key.plural)
