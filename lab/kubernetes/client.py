"""A small asynchronous client of the Kubernetes API, for the components."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from lab.kubernetes.kubeconfig import Kubeconfig
from lab.kubernetes.objects import Object, name_of, namespace_of

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=None)
_LINE_LIMIT = 4 << 20


class ApiStatusError(Exception):
    """The API refused a request: its HTTP code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason


class ApiUnreachableError(Exception):
    """The API did not answer."""


@dataclass(frozen=True)
class Collection:
    """A resource by group version (`v1`, `apps/v1`) and plural."""

    group_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = "/apis/" if "/" in self.group_version else "/api/"
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{self.group_version}{scope}/{self.plural}{tail}"

    def path_of(self, document: Object, subresource: str = "") -> str:
        return self.path(namespace_of(document), name_of(document), subresource)


NODES = Collection("v1", "nodes")
PODS = Collection("v1", "pods")
EVENTS = Collection("v1", "events")
CONFIG_MAPS = Collection("v1", "configmaps")
SECRETS = Collection("v1", "secrets")
DEPLOYMENTS = Collection("apps/v1", "deployments")
REPLICA_SETS = Collection("apps/v1", "replicasets")
AUTOSCALERS = Collection("autoscaling/v2", "horizontalpodautoscalers")
DISRUPTION_BUDGETS = Collection("policy/v1", "poddisruptionbudgets")
POD_METRICS = Collection("metrics.k8s.io/v1beta1", "pods")


class ApiClient:
    """Requests with the credentials of a kubeconfig. Every method raises ApiStatusError and ApiUnreachableError."""

    def __init__(self, config: Kubeconfig, user_agent: str) -> None:
        self._server = config.server
        self._tls = config.tls()
        self._headers = {"Authorization": f"Bearer {config.token}", "User-Agent": user_agent}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ApiClient:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=_TIMEOUT, read_bufsize=_LINE_LIMIT
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open().close()

    async def get(self, path: str, **query: str) -> Object:
        return await self._request("GET", path, query=query)

    async def create(self, path: str, document: Object) -> Object:
        return await self._request("POST", path, document)

    async def replace(self, path: str, document: Object) -> Object:
        return await self._request("PUT", path, document)

    async def patch(self, path: str, changes: Object, content_type: str = MERGE_PATCH) -> Object:
        return await self._request("PATCH", path, changes, content_type)

    async def delete(self, path: str, options: Object | None = None) -> Object:
        return await self._request("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **(options or {})})

    async def watch(
        self, path: str, revision: str, timeout_seconds: int, **query: str
    ) -> AsyncIterator[tuple[str, Object]]:
        """The events after a revision, until the server ends the stream. An ERROR event raises ApiStatusError."""
        options = {"watch": "1", "resourceVersion": revision, "timeoutSeconds": str(timeout_seconds), **query}
        try:
            async with self._open().get(self._server + path, params=options, timeout=_WATCH_TIMEOUT) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read())
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refusal(event["object"].get("code", 500), json.dumps(event["object"]).encode())
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            raise ApiUnreachableError(f"watch {path}: {error!r}") from error

    async def _request(
        self,
        method: str,
        path: str,
        document: Object | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            async with self._open().request(
                method, self._server + path, data=body, headers=headers, params=query
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnreachableError(f"{method} {path}: {error!r}") from error
        if answer.status >= 400:
            raise _refusal(answer.status, content)
        result: Object = json.loads(content)
        return result

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("ApiClient is used outside of its `async with` block")
        return self._session


def _refusal(code: int, content: bytes) -> ApiStatusError:
    try:
        status = json.loads(content)
        return ApiStatusError(code, status.get("reason", ""), status.get("message", ""))
    except (ValueError, AttributeError):
        return ApiStatusError(code, "", content.decode(errors="replace")[:500])
