"""Logs that mix JSON, logfmt and plain text: every line is read or counted (D038, D039, D040)."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from tasks.systems.logs import SlowTask, read_lines, slowest


def completed(name: str, milliseconds: object) -> str:
    return json.dumps({"event": "task_completed", "task_name": name, "duration_ms": milliseconds})


def test_json_logfmt_and_plain_text_in_one_log() -> None:
    found = read_lines(
        [
            completed("resize", 120),
            'level=info event=task_completed task_name="send mail" duration_ms=80',
            "Traceback (most recent call last):",
            '  File "worker.py", line 3, in run',
            "{broken json",
            "[1, 2]",
            "",
            "   ",
        ]
    )
    assert len(found.records) == 2
    assert found.unreadable == 4
    assert found.records[1]["task_name"] == "send mail"


def test_a_stack_trace_in_the_middle_truncates_nothing() -> None:
    lines = [completed("resize", 100), "panic: task_completed {", completed("resize", 300)]
    assert slowest(read_lines(lines), "task_completed") == (SlowTask("resize", 2, 200, 300),)


def test_both_spellings_and_both_formats_are_told_apart_by_the_event() -> None:
    lines = [
        "event=waiting_for_dependency task_id=1",
        "event=waiting_on_dependency task_id=2",
        completed("a", 1),
    ]
    events = [record["event"] for record in read_lines(lines).records]
    assert events == ["waiting_for_dependency", "waiting_on_dependency", "task_completed"]


def test_sorted_by_value_and_not_by_text() -> None:
    lines = [completed("b", 900), completed("a,b", 1000), completed("c", 95), completed("d", "9")]
    assert [task.name for task in slowest(read_lines(lines), "task_completed")] == ["a,b", "b", "c", "d"]


def test_the_slowest_few() -> None:
    lines = [completed(f"task {number}", number) for number in range(20)]
    assert [t.mean_ms for t in slowest(read_lines(lines), "task_completed", top=3)] == [19, 18, 17]


def test_a_completed_task_without_a_usable_duration_says_nothing() -> None:
    lines = [
        '{"event": "task_completed", "task_name": "no duration"}',
        completed("a word", "fast"),
        completed("null", None),
        completed("not a number", math.nan),
        completed("endless", math.inf),
        '{"event": "task_completed", "duration_ms": 5}',
        completed("resize", 10),
        completed("resize", "slow"),
    ]
    assert slowest(read_lines(lines), "task_completed") == (SlowTask("resize", 1, 10, 10),)


def test_other_events_do_not_count() -> None:
    lines = [json.dumps({"event": "task_failed", "task_name": "a", "duration_ms": 5})]
    assert slowest(read_lines(lines), "task_completed") == ()


def test_json_without_end_is_counted() -> None:
    assert read_lines(['{"a":' * 50_000]).unreadable == 1


@given(st.lists(st.text()))
def test_no_line_is_lost_and_none_breaks_the_reader(lines: list[str]) -> None:
    found = read_lines(lines)
    assert len(found.records) + found.unreadable == sum(bool(line.strip()) for line in lines)
    slowest(found, "task_completed")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10_000)), max_size=40))
def test_counts_and_means_are_those_of_the_lines(tasks: list[tuple[str, int]]) -> None:
    ranked = slowest(read_lines(completed(name, ms) for name, ms in tasks), "task_completed")
    assert sum(task.count for task in ranked) == len(tasks)
    assert [t.mean_ms for t in ranked] == sorted((t.mean_ms for t in ranked), reverse=True)
    for task in ranked:
        own = [ms for name, ms in tasks if name == task.name]
        assert task.mean_ms == sum(own) / len(own)
        assert task.longest_ms == max(own)
