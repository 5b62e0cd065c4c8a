"""What the service answers over HTTP: metrics, probes, and the administration of tasks.

The tasks live in Redis, so any pod answers for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from lab.message_bus.orchestration.audit import AuditLog
from lab.message_bus.orchestration.meters import Meters
from lab.message_bus.orchestration.store import Cancelled, TaskStore
from lab.message_bus.orchestration.tasks import Status, Task
from lab.web import BadRequest, Handler, Request, Response, Route


class Endpoints:
    """The handlers of a pod."""

    def __init__(self, store: TaskStore, meters: Meters, audit: AuditLog, workers_started: Callable[[], bool]) -> None:
        """Answer from the store and the meters."""
        self._store, self._meters, self._audit, self._workers_started = store, meters, audit, workers_started

    def routes(self) -> list[Route]:
        """What is served."""
        audited = self._audit.audited
        cancel_task = audited(_needs_redis(self.cancel_task), "delete", "tasks")
        reset_dependencies = audited(_needs_redis(self.reset_dependencies), "create", "dependencies", "reset")
        return [
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/readyz", self.readyz),
            Route("GET", "/metrics", self.metrics),
            Route("GET", "/admin/tasks", _needs_redis(self.list_tasks)),
            Route("DELETE", "/admin/tasks/{id}", cancel_task),
            Route("GET", "/admin/dependencies", _needs_redis(self.show_dependencies)),
            Route("POST", "/admin/dependencies/reset", reset_dependencies),
        ]

    async def healthz(self, request: Request) -> Response:
        """The process is alive: it answers."""
        return Response(b"ok\n")

    async def readyz(self, request: Request) -> Response:
        """Whether the pod can do its work: Redis is there and the workers are."""
        try:
            await self._store.ping()
        except RedisError as error:
            return Response(f"redis: {error}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
        if not self._workers_started():
            return Response(b"workers not started\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(b"ok\n")

    async def metrics(self, request: Request) -> Response:
        """The page for Prometheus."""
        try:
            depth = await self._store.depth()
        except RedisError:
            depth = None  # Shown as NaN.
        return Response(self._meters.render(depth), content_type=CONTENT_TYPE_LATEST)

    async def list_tasks(self, request: Request) -> Response:
        """Tasks, filtered by `status` and, in seconds since their start, by `duration_gt`."""
        now = time.time()
        try:
            status = Status(request.query["status"]) if "status" in request.query else None
            longer_than = float(request.query["duration_gt"]) if "duration_gt" in request.query else None
        except ValueError as error:
            raise BadRequest(str(error)) from error
        tasks = [
            _shown(task, now)
            for task in await self._store.tasks()
            if (status is None or task.status is status)
            and (longer_than is None or (task.started_at is not None and now - task.started_at > longer_than))
        ]
        return Response.json({"count": len(tasks), "tasks": tasks})

    async def cancel_task(self, request: Request) -> Response:
        """Cancel a task: at once (200), or as soon as the pod that runs it has heard of it (202)."""
        task_id = request.parameters["id"]
        outcome = await self._store.cancel(task_id)
        if outcome is Cancelled.UNKNOWN:
            return Response.json({"error": f"no such task: {task_id}"}, HTTPStatus.NOT_FOUND)
        status = HTTPStatus.OK if outcome is Cancelled.CANCELLED else HTTPStatus.ACCEPTED
        return Response.json({"id": task_id, "status": outcome.value}, status)

    async def show_dependencies(self, request: Request) -> Response:
        """Who waits for whom; with `check_circular=true` also the chains that bite their own tail."""
        graph = await self._store.dependencies()
        shown: dict[str, object] = {"blocked_tasks": sorted(await self._store.waiting()), "dependency_graph": graph}
        if request.query.get("check_circular") == "true":
            shown["circular_chains"] = circular_chains(graph)
        return Response.json(shown)

    async def reset_dependencies(self, request: Request) -> Response:
        """Make the tasks of `{"task_ids": [...]}` wait for nothing."""
        task_ids = request.json().get("task_ids")
        if not isinstance(task_ids, list) or not all(isinstance(task_id, str) for task_id in task_ids):
            raise BadRequest('the body is {"task_ids": ["...", ...]}')
        return Response.json({"reset": await self._store.reset_dependencies(task_ids)})


def circular_chains(graph: Mapping[str, str]) -> list[list[str]]:
    """The circles of a graph in which each task waits for at most one other, each once."""
    chains, done = [], set[str]()
    for first in graph:
        path: list[str] = []
        task: str | None = first
        while task is not None and task not in done:
            done.add(task)
            path.append(task)
            task = graph.get(task)
        if task in path:
            chains.append(path[path.index(task) :])
    return chains


def _shown(task: Task, now: float) -> dict[str, object]:
    seconds = None if task.started_at is None else round(now - task.started_at, 3)
    return {
        "id": task.id,
        "task_name": task.task_name,
        "status": task.status.value,
        "pod": task.pod,
        "attempts": task.attempts,
        "queued_at": task.queued_at,
        "started_at": task.started_at,
        "duration_seconds": seconds,
    }


def _needs_redis(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except RedisError as error:
            return Response.json({"error": f"redis: {error}"}, HTTPStatus.SERVICE_UNAVAILABLE)

    return guarded
