"""What "Worker Pool Exhaustion" decides, as tables: one line per case, plain values in, verdict out."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus import probes
from flows.message_bus.numbers import WorkerPoolExhaustion
from flows.message_bus.worker_pool_exhaustion import (
    RUNBOOK,
    Found,
    Numbers,
    cancel_stuck_task,
    emergency_scale_up,
    give_back,
    restart_workers,
    triage,
)
from tasks.claims import Claiming
from tasks.decide import Earlier, weigh
from tasks.model.change import Effect, Once
from tasks.model.decision import Act, Blind, Decision, GiveBack, HandOver, Healthy, Keep, No, Triage, Verdict, Wait, Yes
from tasks.model.target import Target
from tasks.systems.kubernetes.config import Restart
from tasks.systems.metrics import Gauge, While
from tasks.systems.orchestration.cancellation import CancelTask
from tests.unit.message_bus import (
    DEPLOYMENT,
    GONE,
    READ_AT,
    RESTART,
    SETTING,
    at_least,
    bus,
    graph,
    on,
    pods,
    pool,
    pool_size,
    queue,
    release,
    rollouts,
    running,
    shown,
    task,
)

SCALE = "replicas of orchestration: at least 5"
STUCK = running(task("a", 400), task("b", 900), task("young", 10))

SICK = Found(
    queue=queue(87),
    pool=pool(),
    long_tasks=probes.LongTasks((), 0, timedelta(seconds=60), 0, 0),
    waits=probes.DependencyWaits((), 0, 0),
    dependencies=graph(),
    running=running(task("young", 10)),
    replicas=pods(2),
    pool_size=pool_size(),
    load=probes.Load(cpu=0.3, memory=0.4),
    redis=probes.RedisAnswer(0.8),
)


def found(**seen: Any) -> Found:
    """The sick platform, seen otherwise in these points."""
    return replace(SICK, **seen)


# ---- trigger and triage --------------------------------------------------------------------------------------------


def test_the_alert_asks_for_the_queue_while_all_workers_are_busy() -> None:
    trigger = RUNBOOK.trigger(bus())
    assert trigger.question == While(
        Gauge("orchestration_task_queue_pending", "max"),
        Gauge("orchestration_worker_pool_active", "sum"),
        Gauge("orchestration_worker_pool_max", "sum"),
    )
    assert str(trigger.broken) == "> 50 tasks"


TRIAGE: list[tuple[dict[str, Any], type[Triage], str]] = [
    ({}, Act, "87 tasks waiting, and all 20 workers are busy"),
    ({"queue": queue(51)}, Act, "51 tasks waiting"),
    ({"queue": queue(50)}, Healthy, "50 tasks waiting, not more than 50"),
    ({"pool": pool(active=19)}, Healthy, "1 of 20 workers are free"),
    ({"pool": pool(active=21)}, Act, "all 20 workers are busy"),
    ({"pool": pool(0, 0, 0)}, Act, "all 0 workers are busy"),
    ({"queue": queue(10), "pool": GONE}, Healthy, "10 tasks waiting"),
    ({"queue": GONE, "pool": pool(active=3)}, Healthy, "17 of 20 workers are free"),
    ({"pool": pool(active=17), "running": STUCK}, Act, "3 of 20 workers are free, but 2 tasks are stuck and 85%"),
    ({"queue": queue(20), "running": STUCK}, Act, "20 tasks waiting, not more than 50, but 2 tasks are stuck and 100%"),
    ({"pool": pool(active=16), "running": STUCK}, Healthy, "4 of 20 workers are free"),
    ({"queue": queue(20), "pool": GONE, "running": STUCK}, Healthy, "20 tasks waiting"),
    ({"pool": pool(active=19), "running": GONE}, Healthy, "1 of 20 workers are free"),
    ({"queue": GONE, "redis": GONE}, HandOver, "Redis does not answer: cannot be read"),
    ({"queue": queue(900)}, Act, "900 tasks waiting"),
    ({"queue": queue(999)}, Act, "999 tasks waiting"),
    ({"redis": GONE}, Act, "87 tasks waiting"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), TRIAGE)
def test_triage(seen: dict[str, Any], kind: type[Triage], because: str) -> None:
    verdict = triage(found(**seen), bus())
    assert isinstance(verdict, kind)
    assert because in verdict.because


@pytest.mark.parametrize("blind", ["queue", "pool"])
def test_an_unknown_trigger_is_acted_on_by_nobody(blind: str) -> None:
    decision = weighed(found(**{blind: GONE}))
    assert decision == Decision(Blind("cannot tell whether there is anything to do: cannot be read"), ())
    assert decision.first is None


def test_a_dead_redis_is_the_cause() -> None:
    verdict = triage(found(queue=GONE, redis=GONE), bus())
    assert isinstance(verdict, HandOver)
    assert (verdict.runbook, verdict.reason) == ("redis_connection_loss", "cause")


def test_what_is_left_to_do_after_the_alerts_condition_is_gone_asks_a_person() -> None:
    decision = weighed(found(pool=pool(active=19), running=STUCK))
    assert decision.first is not None
    assert decision.first.option == CANCELLING
    assert [type(w.verdict) for w in decision.weighed] == [No, Yes, No]


# ---- option 1: scale up --------------------------------------------------------------------------------------------

SCALE_UP: list[tuple[dict[str, Any], type[Verdict], str]] = [
    ({}, Yes, "100% of the workers are busy and no task is stuck; 2 replicas run, at least 5 are wanted"),
    ({"dependencies": graph(p="young", q="young")}, Yes, "no task is stuck"),
    ({"running": STUCK}, No, "2 tasks have been running for more than 300 s"),
    ({"running": running(task("a", 300))}, Yes, "no task is stuck"),
    ({"running": running(task("a", None))}, Yes, "no task is stuck"),
    ({"dependencies": graph([["p", "q"]], p="q", q="p")}, No, "tasks wait for each other in a circle: p -> q"),
    ({"queue": queue(87, completed=0)}, No, "no task completes: more workers would wait for the same"),
    ({"queue": GONE}, No, "cannot tell whether there is anything to do: cannot be read"),
    ({"replicas": pods(5), "pool": pool(15)}, No, "5 replicas run already, at least 5 were wanted; every pod has 15"),
    ({"replicas": pods(9), "pool": pool(20)}, No, "9 replicas run already"),
    ({"replicas": pods(5), "load": GONE}, No, "whether pools may grow cannot be told: cannot be read"),
    (
        {"replicas": pods(5), "load": probes.Load(0.6, 0.1)},
        No,
        "with 15 workers per pod it would be: busiest pod at 90%",
    ),
    ({"replicas": pods(5), "redis": GONE}, No, "whether pools may grow cannot be told: cannot be read"),
    ({"replicas": GONE, "load": GONE}, No, "how many pods there are cannot be told"),
    ({"running": GONE}, No, "cannot tell: cannot be read"),
    ({"dependencies": GONE}, No, "cannot tell: cannot be read"),
    ({"pool": GONE}, No, "cannot tell whether there is anything to do: cannot be read"),
    ({"pool": pool(0, 0, 0)}, No, "cannot tell: there are no workers"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), SCALE_UP)
def test_emergency_scale_up(seen: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "emergency scale up")
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


# what is seen -> the steps, in order
BUNDLES: list[tuple[str, dict[str, Any], list[list[str]]]] = [
    ("both", {}, [[f"{SETTING}: at least 15"], [SCALE], [RESTART]]),
    ("next to an autoscaler", {"replicas": pods(2, scaler=(1, 3, 2, 3))},
     [[f"{SETTING}: at least 15"], ["bounds of orchestration: at least 5"], [RESTART]]),
    ("pods only", {"pool": pool(15), "pool_size": pool_size(15)}, [[SCALE]]),
    ("pools only: setting and restart are one step", {"replicas": pods(5)}, [[f"{SETTING}: at least 15", RESTART]]),
    ("the setting is an entry of the Deployment", {"pool_size": pool_size(holder=DEPLOYMENT)},
     [[SCALE], ["ORCHESTRATION_WORKER_POOL_SIZE of orchestration: at least 15"]]),
    ("no room for bigger pools", {"load": probes.Load(0.1, 0.6)}, [[SCALE]]),
    ("room cannot be told", {"load": GONE}, [[SCALE]]),
    ("no Redis, no rollout", {"redis": GONE}, [[SCALE]]),
    ("one pod has no workers", {"pool": pool(0)}, [[SCALE]]),
    ("the pods cannot be read", {"replicas": GONE}, [[f"{SETTING}: at least 15", RESTART]]),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "expected"), [row[1:] for row in BUNDLES], ids=[row[0] for row in BUNDLES])
def test_the_steps_of_scaling_up(seen: dict[str, Any], expected: list[list[str]]) -> None:
    verdict = emergency_scale_up(found(**seen), bus(requeues_on_stop=True))
    assert isinstance(verdict, Yes)
    assert [shown(step) for step in verdict.steps] == expected
    assert rollouts(verdict.changes) <= 1
    assert not any(change.asks for change in verdict.changes)


def test_a_rollout_asks_where_tasks_may_be_lost_and_new_pods_do_not() -> None:
    verdict = emergency_scale_up(SICK, bus())
    assert isinstance(verdict, Yes)
    assert [bool(change.asks) for change in verdict.changes] == [False, False, True]


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 30), st.integers(1, 40))
def test_floors_never_lower_anything_and_never_pass_the_ceilings(
    have: int, smallest: int, replica_ceiling: int, worker_ceiling: int
) -> None:
    seen = found(replicas=pods(have), pool=pool(smallest), pool_size=pool_size(smallest), load=probes.Load(0, 0))
    verdict = emergency_scale_up(seen, bus(replica_ceiling=replica_ceiling, worker_ceiling=worker_ceiling))
    if isinstance(verdict, No):
        assert have >= min(5, replica_ceiling)
        assert smallest >= min(15, worker_ceiling)
        return
    assert isinstance(verdict, Yes)
    for change in verdict.changes:
        if isinstance(change, Claiming):
            before, ceiling = (have, replica_ceiling) if change.field == "replicas" else (smallest, worker_ceiling)
            assert before < change.claim.value <= ceiling


# ---- option 2: cancel a stuck task ---------------------------------------------------------------------------------

CANCEL: list[tuple[dict[str, Any], type[Verdict], str]] = [
    ({}, No, "no task that may be cancelled has run for more than 300 s"),
    ({"running": running(task("a", 300))}, No, "no task that may be cancelled"),
    ({"running": STUCK}, Yes, "chosen: b (email_sender running for 900 s on pod-1, attempt 1; nobody waits for it)"),
    ({"running": STUCK, "dependencies": graph(p="a")}, Yes, "chosen: a (email_sender running for 400 s"),
    ({"running": STUCK, "dependencies": graph(a="young", b="young")}, No, "none chosen; not b"),
    ({"running": GONE}, No, "cannot tell"),
    ({"dependencies": GONE, "running": STUCK}, No, "cannot tell"),
    ({"load": GONE, "replicas": GONE, "redis": GONE, "running": STUCK}, Yes, "chosen: b"),
    ({"pool": GONE, "running": STUCK}, No, "cannot tell"),
    ({"queue": queue(87, completed=0), "running": STUCK}, No, "no task completes, not even the 1 that began later"),
    ({"queue": queue(87, completed=0), "running": running(task("a", 400), task("b", 900))}, Yes, "chosen: b"),
    ({"queue": GONE, "running": STUCK}, No, "cannot tell"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), CANCEL)
def test_cancel_stuck_task(seen: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "cancel stuck task")
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


def test_one_task_is_cancelled_and_a_person_is_always_asked() -> None:
    verdict = cancel_stuck_task(found(running=STUCK), bus(requeues_on_stop=True))
    assert isinstance(verdict, Yes)
    (change,) = verdict.changes
    assert isinstance(change, CancelTask)
    assert isinstance(change, Once)
    assert change.target == Target("task", "bus", "b")
    assert (change.effect, bool(change.asks), change.wanted) == (Effect.DESTRUCTIVE, True, "cancelled")
    assert change.older_than == timedelta(seconds=300)


def test_the_age_is_a_setting_of_the_site() -> None:
    site = bus(worker_pool_exhaustion=WorkerPoolExhaustion.model_validate({"stuck_after_seconds": 5}))
    verdict = cancel_stuck_task(SICK, site)
    assert isinstance(verdict, Yes)
    assert isinstance(emergency_scale_up(SICK, site), No)


# ---- option 3: restart ---------------------------------------------------------------------------------------------

RESTARTS: list[tuple[dict[str, Any], type[Verdict], str]] = [
    ({}, No, "no task is stuck, and 5.0 tasks/s are completed"),
    (
        {"queue": queue(87, completed=0)},
        Yes,
        "0 tasks are stuck and 0.0 tasks/s are completed, Redis answers in 0.8 ms",
    ),
    ({"running": STUCK}, Yes, "2 tasks are stuck and 5.0 tasks/s are completed"),
    ({"running": STUCK, "replicas": pods(4, settled=False)}, Wait, "a rollout is in progress: 3 of 4 pods ready"),
    ({"running": STUCK, "pool": pool(active=19)}, No, "1 of 20 workers are free"),
    ({"running": STUCK, "redis": GONE}, No, "cannot tell"),
    ({"running": STUCK, "replicas": GONE}, No, "cannot tell"),
    ({"running": GONE}, No, "cannot tell"),
    ({"queue": GONE}, No, "cannot tell"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), RESTARTS)
def test_restart_workers(seen: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "restart workers")
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


def test_a_restart_always_asks_and_is_one_for_an_incident() -> None:
    verdict = restart_workers(found(running=STUCK), bus(requeues_on_stop=True))
    assert isinstance(verdict, Yes)
    (change,) = verdict.changes
    assert isinstance(change, Restart)
    assert isinstance(change, Once)
    assert change.asks == "a restart interrupts every running task"
    assert (change.effect, change.since) == (Effect.DISRUPTIVE, READ_AT)
    assert change.wanted == "restarted, to clear stuck workers", "what is done once is told apart by this"


# ---- the ladder ----------------------------------------------------------------------------------------------------

UP, CANCELLING, RESTARTING = ORDER = ["emergency scale up", "cancel stuck task", "restart workers"]
BLIND = Found(*[GONE] * len(fields(Found)))


def weighed(seen: Found, earlier: Earlier = Earlier()) -> Decision:  # noqa: B008
    return weigh(RUNBOOK, seen, bus(), earlier, frozenset())


# what is seen, what was tried, how many tasks were cancelled -> what is taken
LADDER: list[tuple[str, Found, set[str], int, str | None]] = [
    ("ordinary work", SICK, set(), 0, UP),
    ("ordinary work, and more workers did not help", SICK, {UP}, 0, None),
    ("stuck tasks", found(running=STUCK), set(), 0, CANCELLING),
    ("stuck tasks, one is cancelled", found(running=STUCK), set(), 1, CANCELLING),
    ("stuck tasks, four are cancelled", found(running=STUCK), set(), 4, CANCELLING),
    ("stuck tasks, five are cancelled", found(running=STUCK), set(), 5, RESTARTING),
    ("stuck tasks, and a person said no", found(running=STUCK), {CANCELLING}, 0, RESTARTING),
    ("all was tried", found(running=STUCK), {CANCELLING, RESTARTING}, 0, None),
    ("no task completes, none is stuck", found(queue=queue(87, completed=0)), set(), 0, RESTARTING),
    ("nothing can be read", BLIND, set(), 0, None),
]


@pytest.mark.parametrize(
    ("seen", "tried", "made", "option"), [row[1:] for row in LADDER], ids=[row[0] for row in LADDER]
)
def test_ladder(seen: Found, tried: set[str], made: int, option: str | None) -> None:
    decision = weighed(seen, Earlier(dict.fromkeys(tried, "no effect"), made={CANCELLING: made, UP: 9, RESTARTING: 9}))
    assert [w.option for w in decision.weighed] == ([] if isinstance(decision.triage, Blind) else ORDER)
    assert (decision.first.option if decision.first else None) == option


def test_the_cap_is_told() -> None:
    decision = weighed(found(running=STUCK), Earlier(made={CANCELLING: 5}))
    assert decision.weighed[1].verdict == No("done 5 times already for this incident, at most 5 are allowed")


def test_a_site_may_forbid_cancelling_altogether() -> None:
    site = bus(worker_pool_exhaustion=WorkerPoolExhaustion.model_validate({"cancel_at_most": 0}))
    assert isinstance(weigh(RUNBOOK, found(running=STUCK), site, Earlier()).weighed[1].verdict, No)


@given(
    st.tuples(*[st.booleans()] * len(fields(Found))),
    st.floats(allow_nan=False),
    st.floats(0, allow_nan=False),
    st.floats(0, 40),
)
def test_no_evidence_however_poor_breaks_the_decision(
    blind: tuple[bool, ...], pending: float, load: float, size: float
) -> None:
    seen: dict[str, Any] = {
        "queue": queue(pending),
        "load": probes.Load(load, load),
        "pool": pool(size),
        "running": STUCK,
    }
    gone = {field.name: GONE for field, is_gone in zip(fields(Found), blind, strict=True) if is_gone}
    weighed(found(**{**seen, **gone}))


# ---- giving back, form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pending", "fate"), [(49, GiveBack), (50, Keep), (499, Keep)])
def test_capacity_is_kept_while_the_alerts_own_limit_is_reached(pending: float, fate: type[Any]) -> None:
    seen = found(queue=queue(pending), pool=pool(active=4))
    assert isinstance(give_back(seen, bus(), release(at_least(5), {"replicas": 5}, {"replicas": 2})), fate)


def test_a_run_can_override_only_numbers_that_exist() -> None:
    assert set(Numbers.model_fields) <= set(WorkerPoolExhaustion.model_fields)
