"""Watches: from revisions to a stream of ADDED, MODIFIED, DELETED, BOOKMARK and ERROR lines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from lab.kubernetes.apiserver.errors import ApiError, bad_request
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.apiserver.store import Event, Store
from lab.kubernetes.objects import Object, name_of

_BOOKMARK_PERIOD = 60.0
_DEFAULT_TIMEOUT = 1800.0
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class WatchOptions:
    """`since` is the revision to start after; None starts with the present state as ADDED events. Times in seconds."""

    since: int | None
    timeout: float
    bookmarks: bool
    mark_initial_events: bool

    @classmethod
    def of(cls, query: Mapping[str, str]) -> WatchOptions:
        """Raises ApiError 400 for numbers that are none."""
        send_initial = query.get("sendInitialEvents") == "true"
        revision = query.get("resourceVersion", "")
        try:
            since = None if revision in ("", "0") or send_initial else int(revision)
            timeout = float(query.get("timeoutSeconds") or _DEFAULT_TIMEOUT)
        except ValueError as error:
            raise bad_request(f"invalid resource version or timeout: {error}") from error
        return cls(since, timeout, query.get("allowWatchBookmarks") in ("true", "1"), send_initial)


@dataclass(frozen=True)
class View:
    """Which objects a watch shows, and in which form."""

    resource: Resource
    namespace: str
    matches: Callable[[Object], bool]
    present: Callable[[Object], Object]


async def stream(request: web.Request, store: Store, view: View, options: WatchOptions) -> web.StreamResponse:
    """Answers a watch request until its timeout, the client or the server ends it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)

    async def send(kind: str, document: Object) -> None:
        await response.write(json.dumps({"type": kind, "object": document}, separators=(",", ":")).encode() + b"\n")

    try:
        subscription = store.subscribe(
            view.resource.collection, store.revision if options.since is None else options.since
        )
    except ApiError as error:
        # The stream has begun with 200, so the refusal is an event, as in the real server.
        await send("ERROR", error.status())
        return response
    try:
        if options.since is None:
            for document in filter(view.matches, store.list(view.resource.collection, view.namespace)):
                await send("ADDED", view.present(document))
            if options.mark_initial_events and options.bookmarks:
                await send("BOOKMARK", _bookmark(view.resource, store.revision, {_INITIAL_EVENTS_END: "true"}))
        deadline = time.monotonic() + options.timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = await asyncio.wait_for(subscription.next(), min(left, _BOOKMARK_PERIOD))
            except TimeoutError:
                if options.bookmarks:
                    await send("BOOKMARK", _bookmark(view.resource, store.revision))
                continue
            if event is None:
                break
            kind = transition(event, view)
            if kind is not None:
                await send(kind, view.present(event.document))
    except (ConnectionResetError, ConnectionAbortedError):
        pass  # The client has hung up, which is how most watches end.
    finally:
        store.unsubscribe(subscription)
    return response


def transition(event: Event, view: View) -> str | None:
    """The event as the watch's selector sees it: what begins to match is ADDED, what ceases to is DELETED."""
    if view.namespace and event.key.namespace != view.namespace:
        return None
    matches = view.matches(event.document)
    matched = event.previous is not None and view.matches(event.previous)
    if event.type == "DELETED":
        return "DELETED" if matched else None
    if matches:
        return "MODIFIED" if matched else "ADDED"
    return "DELETED" if matched else None


def named(name: str) -> Callable[[Object], bool]:
    """The condition of a watch on a single object."""
    return lambda document: name_of(document) == name


def _bookmark(resource: Resource, revision: int, annotations: Object | None = None) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}
