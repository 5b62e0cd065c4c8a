"""The admin API of the orchestration service: tasks and dependencies.

The tasks live in Redis, so every pod answers for all of them; the next one is asked where one cannot be reached. Every
answer is checked (D032), and what it lists is filtered again here: a filter that got lost on the way would list every
running task (D041).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.systems.tls import trusted

RUNNING = "running"
_WHO = {"User-Agent": "prefect-runbooks", "X-Remote-User": "runbooks"}


class NobodyToAsk(Exception):
    """No address is known at which the admin API could be asked."""


class WrongAnswer(Exception):
    """The admin API answered something that cannot be relied on."""


class Task(BaseModel):
    """A task that is pending or running, as the service lists it. Times are Unix seconds by the pods' clock."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: str = Field(min_length=1)
    task_name: str = ""
    status: str
    pod: str | None = None
    attempts: int | None = None
    started_at: float | None = None
    duration_seconds: float | None = None

    @property
    def running(self) -> bool:
        return self.status == RUNNING

    def older_than(self, limit: timedelta) -> bool:
        """Whether it is known to have been running for longer than that."""
        return self.running and self.duration_seconds is not None and self.duration_seconds > limit.total_seconds()

    def same_run(self, other: Task) -> bool:
        """Whether this is the same attempt at the same task."""
        return (self.id, self.attempts, self.started_at) == (other.id, other.attempts, other.started_at)

    def __str__(self) -> str:
        since = "" if self.duration_seconds is None else f" for {self.duration_seconds:.0f} s"
        attempt = "" if self.attempts is None else f", attempt {self.attempts}"
        return f"{self.task_name or 'task'} {self.status}{since} on {self.pod or 'no pod'}{attempt}"


class _Listing(BaseModel):
    count: int
    tasks: tuple[Task, ...]


class Dependencies(BaseModel):
    """Who waits for whom. `dependency_graph` has, by task, what it waits for or will wait for; `blocked_tasks` are
    those that wait now, `circular_chains` the ones that wait for themselves in the end."""

    model_config = ConfigDict(frozen=True)

    blocked_tasks: tuple[str, ...]
    dependency_graph: Mapping[str, tuple[str, ...]]
    circular_chains: tuple[tuple[str, ...], ...] = ()

    @field_validator("dependency_graph", mode="before")
    @classmethod
    def _one_or_many(cls, graph: object) -> object:
        if not isinstance(graph, dict):
            return graph
        return {task: (other,) if isinstance(other, str) else other for task, other in graph.items()}

    def __str__(self) -> str:
        circles = "; ".join(" -> ".join((*chain, chain[0])) for chain in self.circular_chains if chain)
        blocked = f"{len(self.blocked_tasks)} tasks wait for another one"
        return f"{blocked}; in a circle: {circles}" if circles else f"{blocked}, none in a circle"


class Admin:
    """The admin API at the `addresses` of the moment, e.g. `http://10.0.0.7:8082`; one after the other is tried."""

    def __init__(self, addresses: Callable[[], Sequence[str]], timeout: float = 5.0) -> None:
        self._addresses = addresses
        self._timeout = timeout

    def tasks(self, status: str | None = None) -> tuple[Task, ...]:
        """All tasks, or those with this status.

        Raises:
            NobodyToAsk, httpx.HTTPError: there is no answer.
            WrongAnswer: the list is not complete.
            pydantic.ValidationError: the answer is no list of tasks.
        """
        answer = self._get("/admin/tasks", {"status": status} if status else {})
        listing = _Listing.model_validate_json(answer.content)
        if listing.count != len(listing.tasks):
            raise WrongAnswer(f"{len(listing.tasks)} of {listing.count} tasks were listed")
        return tuple(task for task in listing.tasks if status in (None, task.status))

    def dependencies(self) -> Dependencies:
        """Who waits for whom, with the circles. Raises as `tasks` does."""
        answer = self._get("/admin/dependencies", {"check_circular": "true"})
        return Dependencies.model_validate_json(answer.content)

    def cancel(self, task: str) -> None:
        """Asks to cancel a task. Done (200), under way (202) or gone already (404) are all as wanted.

        Another pod is only tried where nothing was sent to the one before: a request that was sent may have arrived.

        Raises:
            NobodyToAsk, httpx.HTTPError: it was not accepted, or nobody knows whether it was.
        """
        with self._client() as http:
            for address in self._some_addresses():
                try:
                    answer = http.delete(f"{address}/admin/tasks/{_path_part(task)}")
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    unreached = error
                    continue
                if answer.status_code != httpx.codes.NOT_FOUND:
                    answer.raise_for_status()
                return
        raise unreached

    def _get(self, path: str, params: Mapping[str, str]) -> httpx.Response:
        with self._client() as http:
            for address in self._some_addresses():
                try:
                    answer = http.get(f"{address}{path}", params=params)
                except httpx.TransportError as error:
                    unreached = error
                    continue
                return answer.raise_for_status()
        raise unreached

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self._timeout, verify=trusted(), headers=_WHO)

    def _some_addresses(self) -> list[str]:
        addresses = [address.rstrip("/") for address in self._addresses()]
        if not addresses:
            raise NobodyToAsk("there is no ready pod to ask")
        return addresses


def _path_part(task: str) -> str:
    """A task's id as one part of a path (D042): nothing in it may lead to another path.

    Raises:
        ValueError: there is no id, or it would name a folder.
    """
    if not task.strip("."):
        raise ValueError(f"{task!r} is no id of a task")
    return quote(task, safe="")
