"""The admin client and the cancelling of a task, on real pods of the orchestration service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from flows.message_bus import victims
from tasks.model.change import Happened, NotInEffect, PreconditionFailed
from tasks.systems.errors import is_transient
from tasks.systems.orchestration.admin import RUNNING, Admin, NobodyToAsk, Task
from tasks.systems.orchestration.cancellation import GROUP, CancelTask
from tests.contract.orchestration import Service, orchestration
from tests.contract.servers import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.live

SOON, LONG = timedelta(milliseconds=200), timedelta(minutes=5)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The service, its downstream hanging: what begins does not end."""
    with orchestration(tmp_path) as found:
        found.hang()
        yield found


def cancelling(service: Service, task: Task, older_than: timedelta = SOON) -> CancelTask:
    return CancelTask(service.admin(), "bus", task, older_than, "the reason")


def stuck(service: Service) -> Task:
    """A task that has been running for long enough."""
    found: list[Task] = []

    def old() -> bool:
        found[:] = [task for task in service.admin().tasks(RUNNING) if task.older_than(SOON)]
        return bool(found)

    wait_for("a task is stuck", old, 10)
    return found[0]


# ---- reading -------------------------------------------------------------------------------------------------------


def test_tasks_as_the_service_lists_them(service: Service) -> None:
    pod = service.start(workers=2)
    service.publish(3)
    service.running(2)
    wait_for("the third is queued", lambda: len(service.admin().tasks()) == 3, 10)
    found = {task.status: task for task in service.admin().tasks()}
    task = found["running"]
    assert task.running
    assert (task.pod, task.attempts) == ("pod-1", 1)
    assert task.task_name in pod.log.read_text() or task.task_name
    assert task.started_at is not None
    assert abs(time.time() - task.started_at - (task.duration_seconds or 0)) < 5
    assert not found["pending"].running
    assert found["pending"].duration_seconds is None
    assert not found["pending"].older_than(timedelta(0))


def test_age_is_judged_here(service: Service) -> None:
    """Even of a list that was not filtered: an unquoted & lost the filter, and every task looked stuck (D041)."""
    service.start(workers=2)
    service.publish(1)
    service.running(1)
    (task,) = service.admin().tasks(RUNNING)
    assert not task.older_than(LONG)
    assert victims.choose([task], {}, LONG).victim is None
    assert stuck(service).older_than(SOON)


def test_who_waits_for_whom(service: Service) -> None:
    service.start(workers=1)
    (holder,) = service.publish(1)
    service.running(1)
    waiting = service.publish(2, depends_on=holder)
    wait_for("both wait", lambda: len(service.admin().dependencies().dependency_graph) == 2, 10)
    found = service.admin().dependencies()
    assert dict(found.dependency_graph) == dict.fromkeys(waiting, (holder,))
    assert found.circular_chains == ()
    choice = victims.choose([stuck(service)], found.dependency_graph, SOON)
    assert choice.victim is not None
    assert (choice.victim.task.id, choice.victim.awaited_by) == (holder, 2)


def test_circles_are_told(service: Service) -> None:
    pod = service.start(workers=1)
    circle = {"123": "456", "456": "789", "789": "123"}
    for task, other in circle.items():
        service.redis.hset("orchestration:dependencies", task, other)
    found = service.admin(pod).dependencies()
    assert found.dependency_graph == {task: (other,) for task, other in circle.items()}
    assert [sorted(chain) for chain in found.circular_chains] == [["123", "456", "789"]]
    assert "in a circle: " in str(found)


def test_any_pod_answers_for_all_and_the_next_one_where_one_is_gone(service: Service) -> None:
    first, second = service.start(workers=1), service.start(workers=1)
    service.publish(2)
    service.running(2)
    for pod in (first, second):
        assert {task.pod for task in service.admin(pod).tasks(RUNNING)} == {"pod-1", "pod-2"}
    nobody = f"http://127.0.0.1:{free_port()}"
    addresses = [nobody, f"http://{second.address}:8082/"]
    assert len(Admin(lambda: addresses).tasks(RUNNING)) == 2
    with pytest.raises(httpx.ConnectError):
        Admin(lambda: [nobody]).tasks()
    with pytest.raises(NobodyToAsk, match="no ready pod"):
        Admin(list).tasks()


def test_a_service_without_its_redis_says_so(service: Service) -> None:
    pod = service.start()
    service.redis.config_set("requirepass", "changed")  # To the pod it is as good as gone.
    service.redis.client_kill_filter(_type="normal", skipme=True)
    wait_for("the pod is not ready", lambda: not pod.ready(), 10)
    for ask in (service.admin().tasks, service.admin().dependencies):
        with pytest.raises(httpx.HTTPStatusError, match="503") as refused:
            ask()
        assert is_transient(refused.value)


# ---- cancelling ----------------------------------------------------------------------------------------------------


def test_a_stuck_task_is_cancelled_through_any_pod(service: Service) -> None:
    holder = service.start(workers=2)
    service.publish(2)
    service.running(2)
    service.start(workers=1)
    change = CancelTask(service.admin(service.pods[1]), "bus", stuck(service), SOON, "the reason")
    diff = change.diff()
    assert diff.before.startswith(f"{change.task.task_name} running for ")
    assert diff.before.endswith(" on pod-1, attempt 1")
    assert (diff.after, diff.note) == ("cancelled (attempt 1)", "the reason")
    assert (diff.around.group, diff.around.group_size) == (GROUP, 2)
    assert change.happened(datetime.now(UTC)) is Happened.UNKNOWN
    change.apply(diff)
    assert change.verify(timedelta(seconds=10)) == "the task is gone, its worker is free"
    assert change.happened(datetime.now(UTC)) is Happened.YES
    assert not change.diff().needed
    wait_for("the worker is free", lambda: holder.metric("orchestration_worker_pool_active") == 1, 10)
    assert len(service.admin().tasks(RUNNING)) == 1, "one task, and no other"


def test_what_is_gone_already_is_as_wanted(service: Service) -> None:
    service.start(workers=1)
    service.publish(1)
    change = cancelling(service, stuck(service))
    service.go_on()
    wait_for("it has ended by itself", lambda: service.admin().tasks() == (), 10)
    assert not change.diff().needed
    change.apply(change.diff())
    assert change.verify(timedelta(seconds=1))


def test_a_young_task_is_left_alone(service: Service) -> None:
    service.start(workers=1)
    service.publish(1)
    change = cancelling(service, stuck(service), LONG)
    with pytest.raises(PreconditionFailed, match="not longer than 300 s"):
        change.diff()


def test_a_later_attempt_at_the_same_task_is_left_alone(service: Service) -> None:
    first = service.start(workers=1)
    service.publish(1)
    change = cancelling(service, stuck(service))
    first.end()  # It gives its task back.
    with pytest.raises(httpx.ConnectError):
        change.diff()
    second = service.start(workers=1)
    service.pods[:] = [second]
    wait_for("it is stuck again", lambda: any(task.older_than(SOON) for task in service.admin().tasks()), 10)
    with pytest.raises(PreconditionFailed, match=r"started anew .* on pod-2, attempt 2"):
        change.diff()


def test_a_task_that_waits_again_is_left_alone(service: Service) -> None:
    first = service.start(workers=1)
    service.publish(1)
    change = cancelling(service, stuck(service))
    busy = service.start(workers=1)
    service.publish(1)
    service.running(2)
    first.end()
    service.pods[:] = [busy]
    wait_for("it is queued again", lambda: any(task.status == "pending" for task in service.admin().tasks()), 10)
    with pytest.raises(PreconditionFailed, match="pending again"):
        change.diff()
    assert change.happened(datetime.now(UTC)) is Happened.UNKNOWN


def test_a_pod_that_does_not_hear_of_it_is_told_as_not_in_effect(service: Service) -> None:
    """Nothing is sent, so nothing can come of it: as if the request had been lost."""
    service.start(workers=1)
    service.publish(1)
    change = cancelling(service, stuck(service))
    with pytest.raises(NotInEffect, match="the task is still there"):
        change.verify(timedelta(seconds=0.5))
