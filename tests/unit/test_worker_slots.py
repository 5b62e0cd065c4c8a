"""Which of the due runs start: a limit, and slots that only what never waits may take."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import FlowRun

from deployments.manifest import manifest
from deployments.worker.slots import Slots, never_waits, reserved_by_default
from flows.catalogue import RUNBOOKS
from flows.incidents.restore import AT_ONCE
from tasks.model.outcome import Severity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(name: str, *tags: str, minutes: float = 0) -> FlowRun:
    due = NOON + timedelta(minutes=minutes)
    return FlowRun(id=uuid.uuid4(), name=name, flow_id=uuid.uuid4(), tags=list(tags), next_scheduled_start_time=due)


def warning(name: str = "warning", minutes: float = 0) -> FlowRun:
    return run(name, "runbook", "message-bus", "warning", minutes=minutes)


def critical(name: str = "critical", minutes: float = 0) -> FlowRun:
    return run(name, "runbook", "message-bus", "critical", minutes=minutes)


def names(slots: Slots, due: list[FlowRun], *busy: FlowRun) -> list[str]:
    return [one.name for one in slots.choose(due, busy)]


def test_as_many_start_as_there_are_slots_and_the_oldest_first() -> None:
    due = [warning("third", 3), warning("first", 1), warning("second", 2)]
    assert names(Slots(2, 0), due) == ["first", "second"]
    assert names(Slots(2, 0), due, warning()) == ["first"]
    assert names(Slots(2, 0), due, warning(), warning()) == []


def test_what_never_waits_comes_first_however_late_it_is_due() -> None:
    due = [warning("old", 0), critical("critical", 9), run("restore", "restore", minutes=5)]
    assert names(Slots(3, 1), due) == ["critical", "restore", "old"]


def test_giving_back_at_several_sites_leaves_a_slot_for_a_critical_run() -> None:
    """Although every slot that ordinary runs may take is taken."""
    slots = Slots(10, reserved_by_default(10))
    flood = [warning(f"warning {number}") for number in range(100)]
    busy = [*slots.choose(flood, []), *(run(f"restore {number}", "restore") for number in range(AT_ONCE))]
    assert names(slots, [critical(), *flood], *busy) == ["critical"]


def test_a_small_worker_reserves_what_it_can() -> None:
    assert [reserved_by_default(limit) for limit in (1, 2, 4, 5, 10)] == [0, 1, 3, 4, 4]


def test_reserved_slots_stay_free_for_what_never_waits() -> None:
    flood = [warning(f"warning {number}") for number in range(100)]
    assert len(names(Slots(10, 2), flood)) == 8
    assert names(Slots(10, 2), [*flood, critical("critical")], *flood[:8]) == ["critical"]
    assert names(Slots(10, 2), [run("restore", "restore")], *flood[:8], critical()) == ["restore"]


def test_what_never_waits_may_take_every_slot() -> None:
    flood = [critical(f"critical {number}") for number in range(100)]
    assert len(names(Slots(10, 2), flood)) == 10
    assert names(Slots(10, 2), [warning()], *flood[:9]) == ["warning"], "a slot is left that nobody needs more"


def test_a_slot_of_the_rest_is_not_counted_twice() -> None:
    """Two critical runs are at work: the rest may still have all that is not reserved, and no more."""
    flood = [warning(f"warning {number}") for number in range(100)]
    assert len(names(Slots(10, 2), flood, critical(), critical())) == 8


def test_a_run_that_is_at_work_is_not_chosen_again() -> None:
    one = warning()
    assert names(Slots(4, 1), [one], one) == []


@pytest.mark.parametrize(("limit", "reserved"), [(1, 1), (2, 3), (0, 0), (3, -1)])
def test_one_slot_at_least_is_for_the_rest(limit: int, reserved: int) -> None:
    with pytest.raises(ValueError, match="cannot be reserved"):
        Slots(limit, reserved)


def test_the_deployments_say_by_their_tags_what_never_waits() -> None:
    """The tags are those of the manifest: nobody else tells the worker."""
    reserved = {d["name"] for d in manifest()["deployments"] if never_waits(run(d["name"], *d["tags"]))}
    critical = {runbook.slug for runbook in RUNBOOKS.values() if runbook.severity is Severity.CRITICAL}
    assert reserved == critical | {"restore", "escalate"}
