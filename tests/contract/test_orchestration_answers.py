"""What the admin client sends, and what it makes of answers that cannot be relied on."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.model.change import Happened, PreconditionFailed
from tasks.systems.errors import explain, is_transient, turned_away
from tasks.systems.orchestration.admin import RUNNING, Admin, NobodyToAsk, Task, WrongAnswer
from tasks.systems.orchestration.cancellation import CancelTask
from tests.contract.servers import free_port

TASK = {"id": "t1", "task_name": "mail", "status": "running", "pod": "pod-1", "attempts": 1, "started_at": 1.7e9}
EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
OLD, YOUNG = {**TASK, "duration_seconds": 400}, {**TASK, "id": "t2", "duration_seconds": 4}


class Service:
    """A server that answers as it is told and keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.status, self.body, self.headers = 200, "{}", dict[str, str]()
        self.hang = self.over = threading.Event()  # by default it is the same: nothing hangs
        self.url = ""

    def answers(self, body: Any, status: int = 200, **headers: str) -> None:
        """From now on, this; what is no text is sent as JSON."""
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.status, self.headers = status, headers

    def lists(self, *tasks: Mapping[str, Any], count: int | None = None) -> None:
        """From now on, these tasks."""
        self.answers({"count": len(tasks) if count is None else count, "tasks": tasks})

    def admin(self, *before: str, timeout: float = 5) -> Admin:
        """The client, with addresses that are tried first."""
        return Admin(lambda: [*before, self.url], timeout)


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            service.asked.append((self.command, self.path, dict(self.headers)))
            if service.hang is not service.over:
                service.hang.wait()
                return
            content = service.body.encode()
            self.send_response(service.status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_DELETE = answer

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client gave up: some tests are about that
                super().handle()

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield service
    http.shutdown()
    http.server_close()


@pytest.fixture
def service(server: Service) -> Iterator[Service]:
    """The server, with nothing asked of it yet."""
    server.asked.clear()
    server.answers({})
    yield server
    server.hang.set()
    server.hang = server.over


# ---- what is sent --------------------------------------------------------------------------------------------------


def test_filters_are_sent_and_applied_again_here(service: Service) -> None:
    service.lists(OLD, {**TASK, "id": "t3", "status": "pending"})
    assert [task.id for task in service.admin().tasks(RUNNING)] == ["t1"]
    assert service.asked[0][:2] == ("GET", "/admin/tasks?status=running")
    service.answers({"blocked_tasks": [], "dependency_graph": {}})
    service.admin().dependencies()
    assert service.asked[1][:2] == ("GET", "/admin/dependencies?check_circular=true")


def test_who_asks_is_said(service: Service) -> None:
    service.admin().cancel("t1")
    ((_, _, headers),) = service.asked
    assert headers["User-Agent"] == "prefect-runbooks"
    assert headers["X-Remote-User"] == "runbooks"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1).filter(lambda id: bool(id.strip("."))))
@example("../tasks")
@example("a/b?c=d#e")
@example("%2e%2e")
@example("{task_id}")
def test_an_id_stays_one_part_of_the_path(service: Service, id: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):  # half of a surrogate pair is no text
        service.asked.clear()
        service.admin().cancel(id)
        ((_, path, _),) = service.asked
        assert path.startswith("/admin/tasks/")
        assert path.count("/") == 3
        assert not set(path) & set("?#")
        assert path.removeprefix("/admin/tasks/").strip(".")


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_what_names_no_task_is_not_sent(service: Service, id: str) -> None:
    with pytest.raises(ValueError, match="no id of a task"):
        service.admin().cancel(id)
    assert service.asked == []


# ---- what is answered ----------------------------------------------------------------------------------------------

# the list of tasks -> the error
ODD: list[tuple[Any, type[Exception]]] = [
    ("<html>Bad gateway</html>", ValidationError),
    ("", ValidationError),
    ([], ValidationError),
    ({"tasks": []}, ValidationError),
    ({"count": 2, "tasks": [OLD]}, WrongAnswer),
    ({"count": 1, "tasks": [{**OLD, "id": ""}]}, ValidationError),
    ({"count": 1, "tasks": [{**OLD, "id": None}]}, ValidationError),
    ({"count": 1, "tasks": [{"id": "t1"}]}, ValidationError),
    ({"count": 1, "tasks": [{**OLD, "duration_seconds": float("nan")}]}, ValidationError),
    ({"count": 1, "tasks": [{**OLD, "duration_seconds": float("inf")}]}, ValidationError),
    ({"count": 1, "tasks": [{**OLD, "duration_seconds": "long"}]}, ValidationError),
]


@pytest.mark.parametrize(("answer", "error"), ODD)
def test_a_list_that_cannot_be_relied_on_is_no_list(service: Service, answer: Any, error: type[Exception]) -> None:
    service.answers(answer)
    with pytest.raises(error):
        service.admin().tasks()


@pytest.mark.parametrize("answer", ["no", [], {}, {"blocked_tasks": [], "dependency_graph": {"a": 5}}])
def test_dependencies_that_are_none(service: Service, answer: Any) -> None:
    service.answers(answer)
    with pytest.raises(ValidationError):
        service.admin().dependencies()


def test_a_task_may_wait_for_one_or_for_many(service: Service) -> None:
    service.answers({"blocked_tasks": ["a"], "dependency_graph": {"a": "b", "c": ["d", "e"]}, "more": 1})
    found = service.admin().dependencies()
    assert dict(found.dependency_graph) == {"a": ("b",), "c": ("d", "e")}
    assert str(found) == "1 tasks wait for another one, none in a circle"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 500, 503])
def test_an_error_is_never_an_empty_list(service: Service, status: int) -> None:
    service.answers({"count": 0, "tasks": []}, status, Location="/elsewhere")
    with pytest.raises(httpx.HTTPStatusError, match=str(status)):
        service.admin().tasks()
    assert len(service.asked) == 1, "no redirect is followed, and a clear answer is not asked for again"


# ---- cancelling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 404])
def test_what_is_accepted_or_gone_is_as_wanted(service: Service, status: int) -> None:
    service.answers("", status)
    service.admin().cancel("t1")


@pytest.mark.parametrize("status", [302, 400, 401, 403, 409, 500, 503])
def test_what_is_refused_is_no_success(service: Service, status: int) -> None:
    service.answers("", status)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        service.admin(service.url).cancel("t1")
    assert len(service.asked) == 1, "no second pod is asked"
    assert turned_away(refused.value) is (400 <= status < 500)


def test_where_nothing_was_sent_the_next_pod_is_asked(service: Service) -> None:
    service.admin(f"http://127.0.0.1:{free_port()}").cancel("t1")
    assert [asked[:2] for asked in service.asked] == [("DELETE", "/admin/tasks/t1")]


def test_a_request_that_may_have_arrived_is_never_sent_again(service: Service) -> None:
    service.hang = threading.Event()
    with pytest.raises(httpx.ReadTimeout) as lost:
        service.admin(service.url, timeout=0.3).cancel("t1")
    assert len(service.asked) == 1
    assert is_transient(lost.value)
    assert not turned_away(lost.value), "nobody knows whether it arrived"
    assert "did not answer in time" in explain(lost.value)


def test_a_reading_goes_on_to_the_next_pod_after_one_that_hangs(service: Service) -> None:
    service.hang = threading.Event()
    with pytest.raises(httpx.ReadTimeout):
        service.admin(service.url, timeout=0.2).tasks()
    assert len(service.asked) == 2


def change(service: Service) -> CancelTask:
    return CancelTask(service.admin(), "bus", Task.model_validate(OLD), timedelta(seconds=300), "why")


# what is listed now -> why the task is not cancelled
CHANGED: list[tuple[dict[str, Any], str]] = [
    ({**OLD, "status": "pending"}, "pending again"),
    ({**OLD, "started_at": 1.8e9}, "started anew"),
    ({**OLD, "attempts": 2}, "started anew"),
    ({**OLD, "duration_seconds": 300}, "not longer than 300 s"),
    ({**OLD, "duration_seconds": None}, "not longer than 300 s"),
]


@pytest.mark.parametrize(("now", "why"), CHANGED)
def test_a_task_that_is_not_what_it_was_is_left_alone(service: Service, now: dict[str, Any], why: str) -> None:
    service.lists(now, YOUNG)
    with pytest.raises(PreconditionFailed, match=why):
        change(service).diff()


def test_the_share_is_that_of_the_running_tasks(service: Service) -> None:
    service.lists(OLD, YOUNG, {**TASK, "id": "t3", "status": "pending"})
    diff = change(service).diff()
    assert diff.around.group_size == 2
    assert (diff.before, diff.after) == ("mail running for 400 s on pod-1, attempt 1", "cancelled (attempt 1)")


def test_whether_it_happened_is_only_told_by_a_whole_list(service: Service) -> None:
    service.lists(YOUNG)
    assert change(service).happened(EARLIER) is Happened.YES
    service.lists(OLD)
    assert change(service).happened(EARLIER) is Happened.UNKNOWN
    service.lists(YOUNG, count=2)
    with pytest.raises(WrongAnswer):
        change(service).happened(EARLIER)


def test_a_look_that_fails_is_taken_again_while_there_is_time(service: Service) -> None:
    service.answers("", 503)
    threading.Timer(0.3, service.lists).start()
    assert change(service).verify(timedelta(seconds=10)) == "the task is gone, its worker is free"


def test_so_is_one_for_which_nobody_could_be_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pod is ready for a moment, as it happens when all workers are blocked."""
    service.lists()
    cancel = change(service)
    tasks, troubles = cancel.admin.tasks, iter([NobodyToAsk("no pod is ready")])

    def asked(admin: Admin) -> list[Task]:
        if trouble := next(troubles, None):
            raise trouble
        return list(tasks())

    monkeypatch.setattr(Admin, "tasks", asked)
    assert cancel.verify(timedelta(seconds=10)) == "the task is gone, its worker is free"


def test_an_approval_is_for_one_execution_of_a_task(service: Service) -> None:
    """Also where the service does not count them: the key of a plan holds what the change leads to."""
    afters = set()
    for started in (1_000.0, 2_000.0):
        task = {**OLD, "attempts": None, "started_at": started}
        service.lists(task)
        found = CancelTask(service.admin(), "bus", Task.model_validate(task), timedelta(seconds=300), "why").diff()
        afters.add(found.after)
    assert len(afters) == 2
