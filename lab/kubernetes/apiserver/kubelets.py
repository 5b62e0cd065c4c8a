"""What the API server asks of the kubelet: container logs, and the metrics API that a real cluster aggregates."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from lab.kubernetes.apiserver.errors import ApiError, bad_request, service_unavailable
from lab.kubernetes.apiserver.resources import Resource, stored
from lab.kubernetes.apiserver.store import Store
from lab.kubernetes.objects import Object, is_pod_ready, name_of, namespace_of

_LOG_OPTIONS = ("follow", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps", "limitBytes")
_REASONS = {400: "BadRequest", 404: "NotFound", 500: "InternalError"}


class Kubelets:
    """Requests passed on to the kubelets of the nodes, over HTTPS; their self-made certificates are not verified."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def log(self, request: web.Request, pod: Object) -> web.StreamResponse:
        """`pods/log`: streams what the container wrote. Raises ApiError (400, 503)."""
        container = _container(pod, request.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f'pod "{name_of(pod)}" does not have a host assigned')
        path = f"/containerLogs/{namespace_of(pod)}/{name_of(pod)}/{container}"
        options = {name: request.query[name] for name in _LOG_OPTIONS if name in request.query}
        return await self._relay(request, _address(self._node(node)) + path, options)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The resource metrics API, answered by the first node that is ready. Raises ApiError 503 without one."""
        nodes = self._store.list(("", "nodes"))
        ready = next((node for node in nodes if is_pod_ready(node)), None)
        if ready is None:
            raise service_unavailable("the server is currently unable to handle the request")
        return await self._relay(request, _address(ready) + request.path, dict(request.query))

    async def _relay(self, request: web.Request, url: str, query: dict[str, str]) -> web.StreamResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=5)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=False))
        headers = {"Accept": request.headers["Accept"]} if "Accept" in request.headers else {}
        try:
            async with self._session.get(url, params=query, headers=headers) as answer:
                if answer.status >= 400:
                    raise await _failure(answer)
                response = web.StreamResponse(headers={"Content-Type": answer.content_type})
                response.enable_chunked_encoding()
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response
        except aiohttp.ClientConnectionError as error:
            raise service_unavailable(f"the server is currently unable to handle the request: {error}") from error

    def _node(self, name: str) -> Object:
        nodes: Resource = stored(("", "nodes"))
        found = next((node for node in self._store.list(nodes.collection) if name_of(node) == name), None)
        if found is None:
            raise service_unavailable(f'node "{name}" not found')
        return found


async def _failure(answer: aiohttp.ClientResponse) -> ApiError:
    if answer.content_type == "application/json":
        status = await answer.json()
        return ApiError(answer.status, status.get("reason", ""), status.get("message", ""), status.get("details"))
    return ApiError(answer.status, _REASONS.get(answer.status, "InternalError"), (await answer.text()).strip())


def _address(node: Object) -> str:
    status = node.get("status", {})
    host = next((each["address"] for each in status.get("addresses") or () if each["type"] == "InternalIP"), None)
    port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port")
    if host is None or port is None:
        raise service_unavailable(f'the kubelet of node "{name_of(node)}" has not registered its address')
    return f"https://{host}:{port}"


def _container(pod: Object, wanted: str) -> str:
    names = [container["name"] for container in pod["spec"]["containers"]]
    if not wanted and len(names) > 1:
        raise bad_request(
            f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(names)}]"
        )
    if wanted and wanted not in names:
        raise bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
    return wanted or str(names[0])
