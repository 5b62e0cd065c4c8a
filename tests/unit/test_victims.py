"""Which stuck task is cancelled: never a young one, never one that waits for a running one, always the same one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus.victims import SHOWN, choose
from tasks.systems.orchestration.admin import Task
from tests.unit.message_bus import task

LIMIT = timedelta(seconds=300)


def chosen(running: Sequence[Task], waits: Mapping[str, Sequence[str]]) -> str | None:
    victim = choose(running, waits, LIMIT).victim
    return victim.task.id if victim else None


# running tasks with their seconds, who waits for whom -> the victim
TABLE: list[tuple[str, dict[str, float | None], dict[str, tuple[str, ...]], str | None]] = [
    ("nothing runs", {}, {"p": ("q",)}, None),
    ("nothing is old", {"a": 300, "b": 10}, {"p": ("a",)}, None),
    ("just too old", {"a": 300.001}, {}, "a"),
    ("no age is known", {"a": None}, {}, None),
    ("the longest", {"a": 400, "b": 900, "c": 500}, {}, "b"),
    ("a tie is broken by name", {"b": 400, "a": 400}, {}, "a"),
    ("for which most wait", {"a": 400, "b": 900}, {"p": ("a",), "q": ("a",), "r": ("b",)}, "a"),
    ("at second hand too", {"a": 400, "b": 900},
     {"p": ("a",), "q": ("p",), "r": ("q",), "s": ("b",), "t": ("b",)}, "a"),
    ("each waiter counts once", {"a": 400, "b": 900},
     {"p": ("a",), "q": ("p", "a"), "r": ("b",), "s": ("b",), "t": ("b",)}, "b"),
    ("young ones for which many wait stay", {"a": 10, "b": 400}, {"p": ("a",), "q": ("a",)}, "b"),
    ("who waits for a running one is not the cause", {"a": 900, "b": 400}, {"a": ("b",)}, "b"),
    ("who waits for a young one may go on soon", {"a": 900, "b": 10}, {"a": ("b",)}, None),
    ("at second hand too, through one that does not run", {"a": 900, "b": 400}, {"a": ("p",), "p": ("b",)}, "b"),
    ("who waits for one that does not run holds its worker for nothing", {"a": 900}, {"a": ("p",)}, "a"),
    ("a task that waits for itself", {"a": 900}, {"a": ("a",)}, "a"),
    ("of a circle the oldest", {"a": 400, "b": 900, "c": 500}, {"a": ("b",), "b": ("c",), "c": ("a",)}, "b"),
    ("of a circle the oldest, if others wait for a younger one too", {"a": 400, "b": 900},
     {"a": ("b",), "b": ("a",), "p": ("a",), "q": ("a",)}, "b"),
    ("a circle in which only one runs", {"a": 400}, {"a": ("p",), "p": ("a",)}, "a"),
    ("a circle that waits for a running one", {"a": 900, "b": 800, "c": 400}, {"a": ("b",), "b": ("a", "c")}, "c"),
    ("a graph that knows tasks that are no more", {"a": 400}, {"x": ("y",), "z": ("a",)}, "a"),
]  # fmt: skip


@pytest.mark.parametrize(("ages", "waits", "victim"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_rule(ages: dict[str, float | None], waits: dict[str, tuple[str, ...]], victim: str | None) -> None:
    assert chosen([task(id, seconds) for id, seconds in ages.items()], waits) == victim


def test_what_does_not_run_is_never_chosen() -> None:
    assert chosen([task("a", 900, status="pending")], {}) is None


def test_every_candidate_is_told_with_the_reason() -> None:
    running = [task("a", 400), task("b", 900), task("c", 500), task("young", 5)]
    choice = choose(running, {"b": ("a",), "p": ("c",), "q": ("a",)}, LIMIT)
    assert choice.victim is not None
    assert choice.victim.task.id == "a"
    assert {other.task.id: other.passed_over for other in choice.others} == {
        "b": "it waits for a, which is running",
        "c": "fewer wait for it, or it has run for less long",
    }
    assert choice.why.startswith("chosen: a (email_sender running for 400 s on pod-1, attempt 1; 2 waiting for it)")
    assert "not b (email_sender running for 900 s" in choice.why
    assert "young" not in choice.why


def test_very_many_candidates_do_not_fill_the_report() -> None:
    choice = choose([task(f"t{n}", 400 + n) for n in range(200)], {}, LIMIT)
    assert len(choice.others) == 199
    assert choice.why.endswith(f"and {199 - SHOWN} more")


NAMES = st.sampled_from("abcdefghij")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=3))
AGES = st.dictionaries(NAMES, st.one_of(st.none(), st.floats(-1e9, 1e9)))


def reaches(waits: Mapping[str, Sequence[str]], start: str, end: str) -> bool:
    """Whether one task waits for another, at first or second hand."""
    seen: set[str] = set()
    following = list(waits.get(start, ()))
    while following:
        one = following.pop()
        if one == end:
            return True
        if one not in seen:
            seen.add(one)
            following += waits.get(one, ())
    return False


@given(AGES, GRAPHS, st.integers(0, 1000))
def test_never_a_young_one_and_never_one_that_is_only_waiting(
    ages: dict[str, float | None], waits: dict[str, list[str]], limit: int
) -> None:
    running = [task(id, seconds) for id, seconds in ages.items()]
    victim = choose(running, waits, timedelta(seconds=limit)).victim
    if victim is None:
        return
    age = ages[victim.task.id]
    assert age is not None
    assert age > limit
    for other in ages:
        if other != victim.task.id and reaches(waits, victim.task.id, other):
            assert reaches(waits, other, victim.task.id), "it waits for a running task outside of any circle"
            assert (ages[other] or 0) <= age, "of a circle the oldest"


@given(AGES, GRAPHS, st.randoms(use_true_random=False))
def test_the_same_tasks_in_any_order_give_the_same_victim(
    ages: dict[str, float | None], waits: dict[str, list[str]], shuffle: random.Random
) -> None:
    running = [task(id, seconds) for id, seconds in ages.items()]
    first = choose(running, waits, LIMIT)
    other = running[:]
    shuffle.shuffle(other)
    shuffled = dict(shuffle.sample(sorted(waits.items()), len(waits)))
    assert choose(other, shuffled, LIMIT) == first


@given(AGES, GRAPHS)
def test_every_old_task_is_either_the_victim_or_told_about(
    ages: dict[str, float | None], waits: dict[str, list[str]]
) -> None:
    choice = choose([task(id, seconds) for id, seconds in ages.items()], waits, LIMIT)
    told = {other.task.id for other in choice.others} | ({choice.victim.task.id} if choice.victim else set())
    assert told == {id for id, seconds in ages.items() if seconds is not None and seconds > 300}
    assert all(other.passed_over for other in choice.others)


@given(AGES, GRAPHS)
def test_where_old_tasks_wait_for_nothing_that_runs_one_is_chosen(
    ages: dict[str, float | None], waits: dict[str, list[str]]
) -> None:
    old = {id for id, seconds in ages.items() if seconds is not None and seconds > 300}
    free = [id for id in old if not any(reaches(waits, id, other) for other in ages if other != id)]
    if free:
        assert chosen([task(id, seconds) for id, seconds in ages.items()], waits) is not None
