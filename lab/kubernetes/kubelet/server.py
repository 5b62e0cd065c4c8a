"""The kubelet's HTTPS interface: container logs, and the resource metrics API that the API server forwards to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psutil
from aiohttp import web

from lab.kubernetes import quantities, timestamps
from lab.kubernetes.kubelet import logs
from lab.kubernetes.kubelet.containers import Container
from lab.kubernetes.kubelet.logs import LogOptions
from lab.kubernetes.kubelet.monitor import Monitor
from lab.kubernetes.kubelet.pods import Pod
from lab.kubernetes.objects import Object, name_of, namespace_of
from lab.kubernetes.selectors import LabelSelector, SelectorError

_GROUP_VERSION = "metrics.k8s.io/v1beta1"
_METRICS = f"/apis/{_GROUP_VERSION}"


class Server:
    """Serves what is known of the pods on this node. Only loopback can reach it; it asks for no credentials."""

    def __init__(self, node: str, pods: Callable[[], Iterable[Pod]], monitor: Monitor) -> None:
        self._node = node
        self._pods = pods
        self._monitor = monitor
        psutil.cpu_percent(None)

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", _health),
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._log),
                web.get(_METRICS, _resources),
                web.get(f"{_METRICS}/nodes", self._node_metrics),
                web.get(f"{_METRICS}/nodes/{{name}}", self._node_metrics),
                web.get(f"{_METRICS}/pods", self._pod_metrics),
                web.get(f"{_METRICS}/namespaces/{{namespace}}/pods", self._pod_metrics),
                web.get(f"{_METRICS}/namespaces/{{namespace}}/pods/{{name}}", self._pod_metrics),
            ]
        )
        return app

    async def _log(self, request: web.Request) -> web.StreamResponse:
        namespace, name, container_name = (request.match_info[part] for part in ("namespace", "pod", "container"))
        try:
            options = LogOptions.of(request.query)
        except ValueError as error:
            return web.Response(status=400, text=f"invalid log options: {error}")
        pod = next((each for each in self._pods() if _is(each.document, namespace, name)), None)
        container = pod.container(container_name) if pod else None
        if container is None:
            return web.Response(status=404, text=f'container "{container_name}" in pod "{name}" not found')
        path = container.log_path(options.previous)
        if path is None:
            return web.Response(status=400, text=_why_no_log(container, name, options.previous))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        run = container.restarts
        async for chunk in logs.read(path, options, lambda: container.is_running and container.restarts == run):
            await response.write(chunk)
        return response

    async def _pod_metrics(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info.get("namespace", ""), request.match_info.get("name")
        try:
            selector = LabelSelector.parse(request.query.get("labelSelector", ""))
        except SelectorError as error:
            return _failure(400, "BadRequest", str(error))
        items = []
        for pod in self._pods():
            if (not namespace or namespace_of(pod.document) == namespace) and selector.matches(pod.document):
                containers = self._container_metrics(pod)
                if containers:
                    items.append({**self._sample(pod.document), "containers": containers})
        if name is None:
            return web.json_response(_list("PodMetrics", items))
        found = next((item for item in items if item["metadata"]["name"] == name), None)
        if found is None:
            return _failure(404, "NotFound", f'podmetrics.metrics.k8s.io "{namespace}/{name}" not found')
        return web.json_response({"kind": "PodMetrics", "apiVersion": _GROUP_VERSION, **found})

    def _container_metrics(self, pod: Pod) -> list[Object]:
        measured = ((container.name, self._monitor.usage(container)) for container in pod.containers)
        return [
            {"name": name, "usage": {"cpu": quantities.nanocores(usage.cpu), "memory": f"{usage.memory // 1024}Ki"}}
            for name, usage in measured
            if usage is not None
        ]

    async def _node_metrics(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", self._node)
        if name != self._node:
            return _failure(404, "NotFound", f'nodemetrics.metrics.k8s.io "{name}" not found')
        cores = psutil.cpu_percent(None) / 100 * (psutil.cpu_count() or 1)
        usage = {"cpu": quantities.nanocores(cores), "memory": f"{psutil.virtual_memory().used // 1024}Ki"}
        item = {**self._sample({"metadata": {"name": self._node}}), "usage": usage}
        if "name" in request.match_info:
            return web.json_response({"kind": "NodeMetrics", "apiVersion": _GROUP_VERSION, **item})
        return web.json_response(_list("NodeMetrics", [item]))

    def _sample(self, document: Object) -> Object:
        shown = {
            name: document["metadata"][name] for name in ("name", "namespace", "labels") if name in document["metadata"]
        }
        present = timestamps.seconds()
        return {
            "metadata": {**shown, "creationTimestamp": present},
            "timestamp": present,
            "window": f"{self._monitor.window:g}s",
        }


async def _health(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _resources(request: web.Request) -> web.Response:
    listed = [
        {"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}
        for plural, namespaced, kind in (("nodes", False, "NodeMetrics"), ("pods", True, "PodMetrics"))
    ]
    return web.json_response(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP_VERSION, "resources": listed}
    )


def _list(kind: str, items: list[Object]) -> Object:
    return {"kind": f"{kind}List", "apiVersion": _GROUP_VERSION, "metadata": {}, "items": items}


def _failure(code: int, reason: str, message: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    return web.json_response({**status, "reason": reason, "message": message}, status=code)


def _is(document: Object, namespace: str, name: str) -> bool:
    return (namespace_of(document), name_of(document)) == (namespace, name)


def _why_no_log(container: Container, pod: str, previous: bool) -> str:
    if previous:
        return f'previous terminated container "{container.name}" in pod "{pod}" not found'
    reason = container.state.get("waiting", {}).get("reason", "ContainerCreating")
    return f'container "{container.name}" in pod "{pod}" is waiting to start: {reason}'
