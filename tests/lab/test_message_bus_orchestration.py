"""The orchestration service, as real processes on a real Redis."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from redis import Redis

from lab.audit import read_audit_logs
from lab.message_bus.events import Event
from lab.message_bus.orchestration.endpoints import circular_chains
from tests.lab.programs import Start
from tests.waiting import wait_for

pytestmark = pytest.mark.live

# The names that the document's commands look for; see also the metrics that the alert rules use.
METRICS = (
    "orchestration_task_queue_pending",
    "orchestration_task_queue_running",
    "orchestration_task_queue_completed",
    "orchestration_worker_pool_active",
    "orchestration_worker_pool_max",
    'orchestration_tasks_completed_total{task_name="email_sender"}',
    'orchestration_tasks_failed_total{task_name="webhook_notifier"}',
    "orchestration_tasks_rejected_total",
    'orchestration_task_duration_seconds_bucket{le="0.5",task_name="data_transformer"}',
    'orchestration_event_to_task_duration_seconds_bucket{le="0.1"}',
    'orchestration_event_to_task_duration_seconds_bucket{le="0.5"}',
    'orchestration_event_to_task_duration_seconds_bucket{le="1.0"}',
)


def publish(redis: Redis, count: int) -> list[Event]:
    """Put events on the bus."""
    events = [Event.happening() for _ in range(count)]
    redis.lpush("event:queue", *(event.encode() for event in events))
    return events


def hang(redis: Redis) -> None:
    """Let the system downstream hang; a pod that is running notices within half a second."""
    redis.hset("lab:control", "downstream", "hangs")


def unfinished(redis: Redis) -> int:
    """Events and tasks that are anywhere between the bus and their end."""
    lists = ["event:queue", *redis.keys("event:processing:*")]
    return int(redis.hlen("orchestration:tasks")) + sum(int(redis.llen(name)) for name in lists)


def test_every_metric_is_there_from_the_start(start: Start) -> None:
    page = start("orchestration").get("/metrics").text
    assert [name for name in METRICS if not re.search(f"^{re.escape(name)} ", page, re.MULTILINE)] == []


def test_the_pool_has_the_size_that_the_environment_said_at_the_start(redis: Redis, start: Start) -> None:
    hang(redis)
    default, small = start("orchestration"), start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="3")
    assert (default.metric("orchestration_worker_pool_max"), small.metric("orchestration_worker_pool_max")) == (10, 3)
    publish(redis, 50)
    wait_for("the pool is busy", lambda: default.metric("orchestration_worker_pool_active") == 10, 10)
    wait_for("the small one too", lambda: small.metric("orchestration_worker_pool_active") == 3, 10)
    for pod in (default, small):
        assert pod.metric("orchestration_task_queue_running") == 13  # Of both pods, whichever is asked.
        assert pod.metric("orchestration_task_queue_pending") == 37


def test_a_pool_that_is_no_number_ends_the_program(start: Start) -> None:
    program = start("publisher", PUBLISHER="this", EVENT_RATE="many")
    assert program.process.wait(10) != 0


def test_a_full_queue_rejects_and_counts(redis: Redis, start: Start) -> None:
    hang(redis)
    pod = start("orchestration")
    publish(redis, 1050)
    wait_for("tasks are rejected", lambda: pod.metric("orchestration_tasks_rejected_total") > 0, 20)
    wait_for("all events are dealt with", lambda: redis.llen("event:queue") == 0, 20)
    pending, running = (pod.metric(f"orchestration_task_queue_{kind}") for kind in ("pending", "running"))
    assert (pending, running) == (1000, 10)
    assert pod.metric("orchestration_tasks_rejected_total") == 40


def test_an_event_that_comes_twice_makes_one_task(redis: Redis, start: Start) -> None:
    event = Event.happening()
    redis.lpush("event:queue", event.encode(), event.encode())
    pod = start("orchestration")
    wait_for("the task is done", lambda: pod.metric("orchestration_task_queue_completed") == 1, 10)
    redis.lpush("event:queue", event.encode())
    wait_for("the repetition is dealt with", lambda: unfinished(redis) == 0, 10)
    assert pod.metric("orchestration_task_queue_completed") == 1


def test_what_is_no_event_goes_to_the_dead_letters(redis: Redis, start: Start) -> None:
    pod = start("orchestration")
    redis.lpush("event:queue", "no JSON", '{"id": "1"}', '{"id": "1", "event_type": "odd", "occurred_at": 1}')
    wait_for("all are buried", lambda: redis.llen("event:dead_letters") == 3, 10)
    assert unfinished(redis) == 0
    wait_for("the log says so", lambda: any("[EventToTaskMapper] event rejected" in line for line in pod.lines()), 5)


def test_who_is_asked_to_end_gives_its_tasks_back(redis: Redis, start: Start) -> None:
    hang(redis)
    pod = start("orchestration")
    events = publish(redis, 30)
    wait_for("the pool is busy", lambda: pod.metric("orchestration_task_queue_running") == 10, 10)
    wait_for("the rest is queued", lambda: pod.metric("orchestration_task_queue_pending") == 20, 10)
    assert pod.end() < 4
    assert pod.process.returncode == 0
    assert set(redis.lrange("orchestration:queue", 0, -1)) == {event.id for event in events}
    statuses = {json.loads(task)["status"] for task in redis.hvals("orchestration:tasks")}
    assert statuses == {"pending"}


def test_the_tasks_of_a_killed_pod_are_recovered_by_another(redis: Redis, start: Start) -> None:
    hang(redis)
    victim = start("orchestration")
    events = publish(redis, 40)
    wait_for("the pool is busy", lambda: victim.metric("orchestration_worker_pool_active") == 10, 10)
    other = start("orchestration")
    victim.end(signal.SIGKILL)
    redis.delete("lab:control")
    wait_for("all tasks are done", lambda: unfinished(redis) == 0, 20)
    done = other.metric("orchestration_task_queue_completed")
    given_up = other.metric("orchestration_tasks_failed_total")
    assert len(events) - given_up <= done <= len(events)


def test_a_pod_that_slept_lets_go_of_what_another_took_over(redis: Redis, start: Start) -> None:
    sleeper, other = start("orchestration"), start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="1")
    redis.lpush("event:queue", *(Event.happening(hangs=True).encode() for _ in range(4)))
    wait_for("tasks hang", lambda: sleeper.metric("orchestration_worker_pool_active") > 2, 10)
    wait_for("all of them", lambda: sleeper.metric("orchestration_task_queue_running") == 4, 10)
    sleeper.process.send_signal(signal.SIGSTOP)
    wait_for("they are queued again", lambda: other.metric("orchestration_task_queue_pending") > 2, 15)
    bigger = start("orchestration")
    wait_for("they hang elsewhere", lambda: bigger.metric("orchestration_worker_pool_active") > 2, 10)
    sleeper.process.send_signal(signal.SIGCONT)
    wait_for("the sleeper's workers are free", lambda: sleeper.metric("orchestration_worker_pool_active") == 0, 15)
    assert bigger.metric("orchestration_task_queue_running") == 4


def test_a_container_that_starts_again_in_its_pod_finds_its_tasks(redis: Redis, start: Start) -> None:
    hang(redis)
    victim = start("orchestration", pod="orchestration-0")
    publish(redis, 5)
    wait_for("the tasks run", lambda: victim.metric("orchestration_task_queue_running") == 5, 10)
    victim.end(signal.SIGKILL)
    redis.delete("lab:control")
    start("orchestration", pod="orchestration-0")
    wait_for("all tasks are done", lambda: unfinished(redis) == 0, 10)


def test_a_lost_redis_is_told_and_survived(redis: Redis, start: Start) -> None:
    pod = start("orchestration")
    redis.config_set("requirepass", "changed")  # To the pod it is as good as gone.
    redis.client_kill_filter(_type="normal", skipme=True)
    wait_for("the pod is not ready", lambda: not pod.ready(), 10)
    assert pod.get("/healthz").is_success
    assert "orchestration_task_queue_pending NaN" in pod.get("/metrics").text
    assert pod.get("/admin/tasks").status_code == 503
    redis.config_set("requirepass", "")
    wait_for("the pod is ready again", pod.ready, 10)
    publish(redis, 3)
    wait_for("it works again", lambda: unfinished(redis) == 0, 10)
    assert any("redis connection lost" in line for line in pod.lines())


def test_tasks_are_listed_and_cancelled_through_any_pod(redis: Redis, start: Start) -> None:
    hang(redis)
    worker = start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="1")
    publish(redis, 2)
    wait_for("a task runs", lambda: worker.metric("orchestration_task_queue_running") == 1, 10)
    other = start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="1")
    wait_for("the other task runs", lambda: other.metric("orchestration_task_queue_running") == 2, 10)
    time.sleep(0.3)  # The filter below is about time that has passed.
    assert other.get("/admin/tasks?status=running&duration_gt=300").json()["tasks"] == []
    running = other.get("/admin/tasks?status=running&duration_gt=0.2").json()["tasks"]
    assert {task["pod"] for task in running} == {"pod-1", "pod-2"}
    assert other.get("/admin/tasks?status=odd").status_code == 400
    (task_id,) = (task["id"] for task in running if task["pod"] == "pod-1")
    assert httpx.delete(other.url(f"/admin/tasks/{task_id}"), trust_env=False).status_code == 202
    wait_for("the worker is free", lambda: worker.metric("orchestration_worker_pool_active") == 0, 10)
    assert httpx.delete(other.url(f"/admin/tasks/{task_id}"), trust_env=False).status_code == 404


def test_what_administrators_do_is_written_down_also_when_the_pod_is_killed(
    redis: Redis, start: Start, tmp_path: Path
) -> None:
    hang(redis)
    log = tmp_path / "audit.log"
    pods = [start("orchestration", POD_NAMESPACE="bus", ORCHESTRATION_AUDIT_LOG=str(log)) for _ in range(2)]
    (event,) = publish(redis, 1)
    wait_for("the task runs", lambda: pods[0].metric("orchestration_task_queue_running") == 1, 10)
    with httpx.Client(trust_env=False, headers={"User-Agent": "curl/8"}) as client:
        client.delete(pods[0].url(f"/admin/tasks/{event.id}"), headers={"X-Remote-User": "runbooks"})
        pods[0].end(signal.SIGKILL)
        client.delete(pods[1].url("/admin/tasks/none"))
        client.post(pods[1].url("/admin/dependencies/reset"), json={"task_ids": ["1"]})
        client.post(pods[1].url("/admin/dependencies/reset"), content=b"what")
        client.get(pods[1].url("/admin/tasks"))
        redis.config_set("requirepass", "changed")
        redis.client_kill_filter(_type="normal", skipme=True)
        client.delete(pods[1].url(f"/admin/tasks/{event.id}"))
    records = read_audit_logs(log)
    assert [(record.verb, record.resource, record.subresource, record.name, record.code) for record in records] == [
        ("delete", "tasks", "", event.id, 202),
        ("delete", "tasks", "", "none", 404),
        ("create", "dependencies", "reset", "", 200),
        ("create", "dependencies", "reset", "", 400),
        ("delete", "tasks", "", event.id, 503),
    ]
    assert [record.user for record in records] == ["runbooks"] + 4 * ["anonymous"]
    assert {(record.user_agent, record.namespace) for record in records} == {("curl/8", "bus")}
    assert records[2].body == {"task_ids": ["1"]}


def test_circular_dependencies_block_until_they_are_broken(redis: Redis, start: Start) -> None:
    circle = {"123": "456", "456": "789", "789": "123"}
    events = [Event(task, "user.created", time.time(), waits_for) for task, waits_for in circle.items()]
    hang(redis)
    pod = start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="1")
    publish(redis, 1)
    wait_for("the worker is busy", lambda: pod.metric("orchestration_worker_pool_active") == 1, 10)
    redis.lpush("event:queue", *(event.encode() for event in events))
    wait_for("the circle is queued", lambda: pod.metric("orchestration_task_queue_pending") == 3, 10)
    redis.delete("lab:control")
    wait_for("all are blocked", lambda: len(pod.get("/admin/dependencies").json()["blocked_tasks"]) == 3, 10)
    shown = pod.get("/admin/dependencies?check_circular=true").json()
    assert shown["dependency_graph"] == circle
    assert [sorted(chain) for chain in shown["circular_chains"]] == [["123", "456", "789"]]
    assert pod.metric("orchestration_task_queue_pending") == 3
    assert pod.metric("orchestration_worker_pool_active") == 0
    assert any(re.search(r"^task_id=\d+ waiting_on_dependency=\d+$", line) for line in pod.lines())
    answer = httpx.post(pod.url("/admin/dependencies/reset"), json={"task_ids": ["123"]}, trust_env=False)
    assert answer.json() == {"reset": 1}
    wait_for("the chain is worked off", lambda: unfinished(redis) == 0, 10)


def test_circles_are_found_once_each() -> None:
    assert circular_chains({"1": "2", "2": "1", "3": "1", "4": "4", "5": "6"}) == [["1", "2"], ["4"]]


def test_logs_are_mixed_and_bounded(redis: Redis, start: Start) -> None:
    pod, begun = start("orchestration", ORCHESTRATION_WORKER_POOL_SIZE="100"), time.monotonic()
    publish(redis, 900)
    wait_for("most tasks are done", lambda: pod.metric("orchestration_task_queue_completed") > 800, 30)
    seconds, lines = time.monotonic() - begun, pod.lines()
    assert len(lines) < 20 * seconds + 40
    structured = [json.loads(line) for line in lines if line.startswith("{")]
    events = {line["event"] for line in structured}
    assert {"task_completed", "event_received", "enqueue_duration", "task_failed", "task_retry"} <= events
    completed = next(line for line in structured if line["event"] == "task_completed")
    assert {"ts", "level", "event", "task_name", "duration_ms", "task_id"} == completed.keys()
    assert all({"task_name", "error"} <= line.keys() for line in structured if line["event"] == "task_failed")
    assert any(line.startswith("level=info msg=task_duration task_name=") for line in lines)
    assert any("[EventToTaskMapper]" in line for line in lines)
