"""Long tasks and waits in logs that mix formats and spellings (D038): every line is read or counted."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus.probes import LongTask, read_dependency_waits, read_long_tasks

MINUTE = timedelta(seconds=60)


def running(task: str, milliseconds: object, **other: object) -> str:
    return json.dumps({"event": "task_running", "task_id": task, "duration_ms": milliseconds, **other})


def test_the_ten_longest_in_both_formats() -> None:
    lines = [
        running("a", 61_000, task_name="mail"),
        "level=info event=task_running task_id=b task_name=resize duration_ms=5000",
        "level=info msg=task_running task_id=c duration_ms=90000",
        "2026-01-01 12:00:00 INFO  task_running for ever",
        '{"event": "task_completed", "task_id": "d", "duration_ms": 999999}',
    ]
    found = read_long_tasks(lines, MINUTE)
    assert found.tasks == (LongTask("c", "task", 90), LongTask("a", "mail", 61), LongTask("b", "resize", 5))
    assert (found.long, found.lines, found.unreadable) == (2, 5, 1)
    assert str(found).startswith("task 90 s, mail 61 s, resize 5 s; 2 longer than 60 s (from 5 log lines, 1 of them")


def test_a_task_that_is_mentioned_often_counts_once_with_its_longest_time() -> None:
    found = read_long_tasks([running("a", n) for n in (5000, 90_000, 7000)], MINUTE)
    assert [(task.task, task.seconds) for task in found.tasks] == [("a", 90)]
    assert found.long == 1


def test_no_more_than_ten_are_shown_and_all_are_counted() -> None:
    found = read_long_tasks([running(f"t{n}", 1000 * (100 + n)) for n in range(30)], MINUTE)
    assert [task.seconds for task in found.tasks] == [129 - n for n in range(10)]
    assert found.long == 30


def test_what_is_no_duration_is_passed_over() -> None:
    odd: list[object] = ["soon", None, float("nan"), float("inf"), []]
    lines = [running(f"t{n}", value) for n, value in enumerate(odd)]
    assert read_long_tasks([*lines, '{"event": "task_running"}'], MINUTE).tasks == ()
    assert "no running task mentioned" in str(read_long_tasks(lines, MINUTE))


def test_waits_in_both_spellings_and_formats() -> None:
    lines = [
        '{"event": "waiting_for_dependency", "task_id": "1", "dependency": "2"}',
        "task_id=123 waiting_on_dependency=456",
        "level=info event=waiting_on_dependency task_id=7 dependency=8",
        "msg=waiting_for_dependency task_id=9",
        "plain text about waiting_for_dependency",
        '{"event": "task_completed", "dependency": "5"}',
    ]
    found = read_dependency_waits(lines)
    assert found.waits == (("1", "2"), ("123", "456"), ("7", "8"), ("9", "?"))
    assert (found.lines, found.unreadable) == (6, 1)


def test_a_wait_counts_once_and_the_latest_is_last() -> None:
    line = "task_id={} waiting_on_dependency=x"
    found = read_dependency_waits([line.format(task) for task in "abab"])
    assert found.waits == (("a", "x"), ("b", "x"))
    found = read_dependency_waits([line.format(task) for task in "aba"])
    assert found.waits[-1] == ("a", "x")
    assert str(found).startswith("2 waits for another task, the latest: b for x, a for x (from 3 log lines")


KEYS = st.sampled_from(["event", "task_id", "task_name", "duration_ms", "waiting_on_dependency", "dependency"])
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.none()))
VALUES = st.sampled_from(["task_running", "waiting_for_dependency"]) | ODD
RECORDS = st.dictionaries(KEYS, VALUES, max_size=4)


def as_logfmt(record: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in record.items())


@given(st.lists(st.one_of(st.text(), st.text().map("{{{}}}".format), RECORDS.map(json.dumps), RECORDS.map(as_logfmt))))
def test_no_log_however_odd_breaks_the_reading(lines: list[str]) -> None:
    found, waits = read_long_tasks(lines, MINUTE), read_dependency_waits(lines)
    assert str(found)
    assert str(waits)
    assert found.lines == waits.lines == len(lines)
    assert found.unreadable == waits.unreadable <= len(lines)
