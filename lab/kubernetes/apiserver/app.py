"""The HTTP application: from a request to its answer, through authentication, authorization, handlers and audit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import decoding, discovery, openapi
from lab.kubernetes.apiserver.audit import AuditLog, Exchange
from lab.kubernetes.apiserver.auth import Authenticator, authorize
from lab.kubernetes.apiserver.deletion import key_of
from lab.kubernetes.apiserver.errors import ApiError, internal, unknown_path
from lab.kubernetes.apiserver.handlers import Handlers
from lab.kubernetes.apiserver.kubelets import Kubelets
from lab.kubernetes.apiserver.managed_fields import Manager
from lab.kubernetes.apiserver.registry import Registry
from lab.kubernetes.apiserver.representation import json_response
from lab.kubernetes.apiserver.request_info import RequestInfo
from lab.kubernetes.apiserver.resources import stored
from lab.kubernetes.apiserver.store import Store

_MAX_BODY = 3 << 20
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_EVENT_LIFETIME = 3600.0
_EVENT_SWEEP = 60.0
_log = logging.getLogger(__name__)


class ApiServer:
    """One API server over one store."""

    def __init__(self, store: Store, authenticator: Authenticator, audit: AuditLog) -> None:
        self._store = store
        self._authenticator = authenticator
        self._audit = audit
        self._registry = Registry(store)
        self._kubelets = Kubelets(store)
        self._handlers = Handlers(self._registry, self._kubelets)
        self._create_namespaces()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.cleanup_ctx.append(self._lifetime)
        app.on_shutdown.append(self._end_watches)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        info = RequestInfo.parse(request.method, request.path, request.query)
        exchange = Exchange(info, datetime.now(UTC))
        try:
            response = await self._answer(request, exchange)
        except ApiError as error:
            response = self._refuse(exchange, error)
        except (web.HTTPException, ConnectionResetError):
            raise
        except Exception as error:
            _log.exception("%s %s", request.method, request.path_qs)
            response = self._refuse(exchange, internal(str(error)))
        if info.is_mutating:
            exchange.code = response.status
            self._audit.write(request, exchange)
        return response

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        info = exchange.info
        user = exchange.user = self._authenticator.authenticate(request.headers.get("Authorization"))
        authorize(user, info)
        exchange.authorized = True
        if not info.is_resource:
            return self._answer_path(request)
        if request.body_exists:
            exchange.body = decoding.parse(await request.read(), request.content_type)
        return await self._handlers.serve(request, info, user, exchange.body)

    def _refuse(self, exchange: Exchange, error: ApiError) -> web.Response:
        exchange.failure = error.status()
        return json_response(exchange.failure, error.code)

    def _answer_path(self, request: web.Request) -> web.Response:
        """Everything that is not a resource: health, version, discovery, OpenAPI."""
        path = request.path.rstrip("/")
        if path in ("/readyz", "/livez", "/healthz"):
            return web.Response(text="ok")
        if path == "/version":
            return json_response(discovery.version())
        if path.startswith("/openapi/v3"):
            document = openapi.index() if path == "/openapi/v3" else openapi.document(path.removeprefix("/openapi/v3/"))
        elif discovery.AGGREGATED in request.headers.get("Accept", "") and path in ("/api", "/apis"):
            body = json.dumps(discovery.aggregated(path)).encode()
            return web.Response(body=body, headers={"Content-Type": discovery.AGGREGATED_TYPE, "Vary": "Accept"})
        else:
            document = discovery.legacy(path)
        if document is None:
            raise unknown_path()
        return json_response(document)

    def _create_namespaces(self) -> None:
        resource = stored(("", "namespaces"))
        present = {document["metadata"]["name"] for document in self._store.list(resource.collection)}
        for name in _NAMESPACES:
            if name not in present:
                namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                self._registry.create(resource, "", namespace, Manager("kube-apiserver"))

    async def _lifetime(self, app: web.Application) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(self._expire_events())
        yield
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        await self._kubelets.close()
        self._audit.close()

    async def _end_watches(self, app: web.Application) -> None:
        self._store.close()

    async def _expire_events(self) -> None:
        """Events live for an hour, as with kube-apiserver's default `--event-ttl`."""
        resource = stored(("", "events"))
        while True:
            for event in self._store.list(resource.collection):
                last: Any = event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]
                if timestamps.age(last) > _EVENT_LIFETIME:
                    self._registry.deletion.remove(key_of(resource, event))
            await asyncio.sleep(_EVENT_SWEEP)
