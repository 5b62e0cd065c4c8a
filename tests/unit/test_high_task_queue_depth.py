"""What "High Task Queue Depth" decides, as tables: one line per case, plain values in, verdict out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus import probes
from flows.message_bus.high_task_queue_depth import (
    RUNBOOK,
    Found,
    Numbers,
    grow_worker_pools,
    rate_limit_ingestion,
    scale_workers_out,
    triage,
)
from flows.message_bus.numbers import HighTaskQueueDepth
from tasks.claims import Claiming
from tasks.decide import Earlier, weigh
from tasks.model.change import Effect
from tasks.model.claim import Bound, Claim
from tasks.model.decision import Act, Blind, Decision, HandOver, Healthy, No, Triage, Verdict, Wait, Yes
from tasks.model.evidence import UnknownReading
from tasks.model.target import Target
from tasks.systems.kubernetes.config import Restart
from tests.unit.message_bus import (
    CONFIGMAP,
    DEPLOYMENT,
    GONE,
    READ_AT,
    RESTART,
    SETTING,
    bus,
    on,
    pods,
    pool,
    pool_size,
    queue,
    rollouts,
    shown,
)

SICK = Found(
    queue=queue(),
    pool=pool(),
    durations=probes.TaskDurations(0.4),
    slow_tasks=probes.SlowTasks((), 0, 0),
    replicas=pods(2),
    publishers=pods(3),
    pool_size=pool_size(),
    load=probes.Load(cpu=0.3, memory=0.4),
    redis=probes.RedisAnswer(0.8),
)


def found(**seen: Any) -> Found:
    """The sick platform, seen otherwise in these points."""
    return replace(SICK, **seen)


# ---- triage --------------------------------------------------------------------------------------------------------

TRIAGE: list[tuple[dict[str, Any], type[Triage], str]] = [
    ({"queue": queue(850)}, Act, "850 tasks waiting, more than 800"),
    ({"queue": queue(801)}, Act, "801 tasks waiting"),
    ({"queue": queue(800)}, Healthy, "800 tasks waiting, not more than 800"),
    ({"queue": queue(0)}, Healthy, "0 tasks waiting"),
    ({"queue": queue(950)}, Act, "950 tasks waiting"),
    ({"queue": queue(951)}, HandOver, "951 tasks waiting, above 950"),
    ({"queue": GONE, "redis": GONE}, HandOver, "Redis does not answer: cannot be read"),
    ({"queue": queue(850), "redis": GONE}, Act, "850 tasks waiting"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), TRIAGE)
def test_triage(seen: dict[str, Any], kind: type[Triage], because: str) -> None:
    verdict = triage(found(**seen), bus())
    assert isinstance(verdict, kind)
    assert because in verdict.because


def test_whom_it_is_handed_to() -> None:
    graver = triage(found(queue=queue(951)), bus())
    cause = triage(found(queue=GONE, redis=GONE), bus())
    assert isinstance(graver, HandOver)
    assert isinstance(cause, HandOver)
    assert (graver.runbook, graver.reason) == ("critical_task_queue_depth", "graver")
    assert (cause.runbook, cause.reason) == ("redis_connection_loss", "cause")


# ---- option 1: scale out -------------------------------------------------------------------------------------------

# autoscaler: minimum, maximum, current, desired
SCALE_OUT: list[tuple[dict[str, Any], type[Verdict], str]] = [
    ({"replicas": pods(2)}, Yes, "100% of the workers are busy, and there is no autoscaler"),
    ({"replicas": pods(2, scaler=(2, 8, 2, 2))}, Yes, "the autoscaler has not reacted"),
    ({"replicas": pods(2, scaler=(2, 3, 2, 2))}, Yes, "the autoscaler has not reacted"),
    ({"replicas": pods(2, scaler=(2, 8, 2, 4))}, Wait, "already scaling from 2 to 4"),
    ({"replicas": pods(4, settled=False)}, Wait, "a rollout is in progress: 3 of 4 pods ready"),
    ({"replicas": pods(3, scaler=(1, 3, 3, 3))}, No, "at its ceiling of 3 replicas"),
    ({"replicas": pods(5)}, No, "5 replicas run already, at least 5 were wanted"),
    ({"replicas": pods(9)}, No, "9 replicas run already"),
    ({"replicas": pods(9, scaler=(1, 12, 9, 9))}, No, "9 replicas run already"),
    ({"replicas": pods(0)}, Yes, "there is no autoscaler"),
    ({"replicas": GONE}, No, "cannot tell: cannot be read"),
    ({"pool": GONE}, No, "cannot tell: cannot be read"),
    ({"pool": probes.WorkerPool(0, 0, 0)}, No, "cannot tell: there are no workers"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), SCALE_OUT)
def test_scale_workers_out(seen: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "scale workers out")
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


def test_scaling_out_is_a_floor_that_needs_nobody() -> None:
    verdict = scale_workers_out(SICK, bus())
    assert isinstance(verdict, Yes)
    assert shown(verdict.changes) == ["replicas of orchestration: at least 5"]
    (change,) = verdict.changes
    assert (change.effect, change.asks) == (Effect.REVERSIBLE, "")
    assert change.restore == "once fewer than 500 tasks wait and what is left carries the load"


def test_next_to_an_autoscaler_its_bounds_are_raised() -> None:
    verdict = scale_workers_out(found(replicas=pods(2, scaler=(2, 8, 2, 2))), bus())
    assert isinstance(verdict, Yes)
    (change,) = verdict.changes
    assert (change.target, change.field) == (Target("autoscaler", "bus", "orchestration"), "bounds")


def test_the_ceiling_of_the_site_bounds_the_floor() -> None:
    verdict = scale_workers_out(SICK, bus(replica_ceiling=4))
    assert isinstance(verdict, Yes)
    assert shown(verdict.changes) == ["replicas of orchestration: at least 4"]
    assert isinstance(scale_workers_out(found(replicas=pods(4)), bus(replica_ceiling=4)), No)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_scaling_out_never_wants_less_than_there_is(have: int, goal: int, ceiling: int) -> None:
    numbers = HighTaskQueueDepth(replicas=goal)
    verdict = scale_workers_out(found(replicas=pods(have)), bus(replica_ceiling=ceiling, high_task_queue_depth=numbers))
    if isinstance(verdict, Yes):
        (change,) = verdict.changes
        assert isinstance(change, Claiming)
        assert change.claim.bound is Bound.AT_LEAST
        assert have < change.claim.value <= ceiling
    else:
        assert have >= min(goal, ceiling)


# ---- option 2: grow the pools --------------------------------------------------------------------------------------


GROW: list[tuple[dict[str, Any], dict[str, Any], type[Verdict], str]] = [
    ({}, {}, Yes, "CPU and memory are available (45% and 60% of the limits after growing)"),
    ({"pool": pool(15)}, {}, No, "every pod has 15 workers already, at least 15 were wanted"),
    ({"pool": pool(20)}, {}, No, "every pod has 20 workers already"),
    ({"pool": pool(20)}, {"worker_ceiling": 12}, No, "at least 12 were wanted"),
    ({"pool": pool(12)}, {"worker_ceiling": 12}, No, "every pod has 12 workers already"),
    ({"pool": pool(10)}, {"worker_ceiling": 12}, Yes, "36% and 48%"),
    ({"load": probes.Load(0.53, 0.1)}, {}, Yes, "80% and 15%"),
    ({"load": probes.Load(0.54, 0.1)}, {}, No, "would need about 81% of the CPU"),
    ({"load": probes.Load(0.1, 0.6)}, {}, No, "90% of the memory limit, at most 80% are allowed"),
    ({"load": probes.Load(0.1, 0.6)}, {"load_at_most": 0.95}, Yes, "15% and 90%"),
    ({"replicas": pods(4, settled=False)}, {}, Wait, "a rollout is in progress: 3 of 4 pods ready"),
    ({"replicas": GONE}, {}, No, "cannot tell"),
    ({"pool": GONE}, {}, No, "cannot tell"),
    ({"pool": pool(0)}, {}, No, "cannot tell: a pod has no workers at all"),
    ({"load": GONE}, {}, No, "cannot tell"),
    ({"redis": GONE}, {}, No, "cannot tell"),
    ({"pool_size": GONE}, {}, No, "cannot tell"),
]


@pytest.mark.parametrize(("seen", "settings", "kind", "because"), GROW)
def test_grow_worker_pools(seen: dict[str, Any], settings: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "grow worker pools", **settings)
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


# requeues on stop, the setting's holder -> the changes, and whether a person is asked
BUNDLES: list[tuple[bool, Target, list[str], bool]] = [
    (True, CONFIGMAP, [f"{SETTING}: at least 15", RESTART], False),
    (False, CONFIGMAP, [f"{SETTING}: at least 15", RESTART], True),
    (True, DEPLOYMENT, ["ORCHESTRATION_WORKER_POOL_SIZE of orchestration: at least 15"], False),
    (False, DEPLOYMENT, ["ORCHESTRATION_WORKER_POOL_SIZE of orchestration: at least 15"], True),
]


@pytest.mark.parametrize(("requeues", "holder", "changes", "asks"), BUNDLES)
def test_growing_is_one_rollout_and_asks_where_tasks_may_be_lost(
    requeues: bool, holder: Target, changes: list[str], asks: bool
) -> None:
    seen = found(pool_size=pool_size(holder=holder))
    verdict = grow_worker_pools(seen, bus(requeues_on_stop=requeues))
    assert isinstance(verdict, Yes)
    assert len(verdict.steps) == 1, "the setting alone would be read by nobody"
    assert shown(verdict.changes) == changes
    assert all(bool(change.asks) is asks for change in verdict.changes)
    assert rollouts(verdict.changes) == 1


def test_the_restart_is_the_one_since_the_setting_was_read() -> None:
    verdict = grow_worker_pools(SICK, bus())
    assert isinstance(verdict, Yes)
    _, restart = verdict.changes
    assert isinstance(restart, Restart)
    assert restart.since == READ_AT


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_growing_never_wants_less_than_there_is(smallest: int, goal: int, ceiling: int) -> None:
    numbers = HighTaskQueueDepth(workers_per_pod=goal)
    verdict = grow_worker_pools(
        found(pool=pool(smallest), load=probes.Load(0, 0)), bus(worker_ceiling=ceiling, high_task_queue_depth=numbers)
    )
    if isinstance(verdict, Yes):
        (setting, _) = verdict.changes
        assert isinstance(setting, Claiming)
        assert smallest < setting.claim.value <= ceiling
    else:
        assert smallest >= min(goal, ceiling)


# ---- option 3: slow the publishers down ----------------------------------------------------------------------------

RATE_LIMIT: list[tuple[dict[str, Any], type[Verdict], str]] = [
    ({"queue": queue(growth=2)}, Yes, "the queue is not draining (growing by 2.0 tasks/s)"),
    ({"queue": queue(growth=0)}, Yes, "the queue is not draining"),
    ({"queue": queue(growth=-3)}, No, "the queue is draining by 3.0 tasks/s"),
    ({"publishers": pods(1)}, No, "1 event-publishers run, at most 1 were wanted"),
    ({"publishers": pods(0)}, No, "0 event-publishers run"),
    ({"publishers": pods(2)}, Yes, "the queue is not draining"),
    ({"publishers": GONE}, No, "cannot tell"),
    ({"queue": GONE}, No, "cannot tell"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), RATE_LIMIT)
def test_rate_limit_ingestion(seen: dict[str, Any], kind: type[Verdict], because: str) -> None:
    verdict = on(RUNBOOK, found(**seen), "rate limit ingestion")
    assert isinstance(verdict, kind), verdict
    assert because in verdict.because


def test_slowing_publishers_is_a_ceiling_and_always_asks() -> None:
    verdict = rate_limit_ingestion(SICK, bus())
    assert isinstance(verdict, Yes)
    assert shown(verdict.changes) == ["replicas of event-publishers: at most 1"]
    (change,) = verdict.changes
    assert change.asks == "events of the paused publishers are delayed"
    assert "fewer than 500 tasks wait" in change.restore


@given(st.integers(0, 30), st.integers(0, 30))
def test_slowing_never_wants_more_publishers_than_there_are(have: int, goal: int) -> None:
    numbers = HighTaskQueueDepth(publishers=goal)
    verdict = rate_limit_ingestion(found(publishers=pods(have)), bus(high_task_queue_depth=numbers))
    if isinstance(verdict, Yes):
        (change,) = verdict.changes
        assert isinstance(change, Claiming)
        assert change.claim == Claim(Bound.AT_MOST, goal)
        assert goal < have
    else:
        assert have <= goal


# ---- the ladder ----------------------------------------------------------------------------------------------------

SCALE, GROW_POOLS, SLOW_DOWN = ORDER = ["scale workers out", "grow worker pools", "rate limit ingestion"]
REACTING = pods(2, scaler=(2, 8, 2, 4))
ROLLING = pods(4, settled=False)
BLIND = found(replicas=GONE, publishers=GONE, pool_size=GONE, load=GONE)


def weighed(seen: Found, earlier: Earlier = Earlier(), deployed: frozenset[str] = frozenset()) -> Decision:  # noqa: B008
    return weigh(RUNBOOK, seen, bus(), earlier, deployed)


# what is seen, what was tried, for what we waited -> what is taken
LADDER: list[tuple[str, Found, set[str], set[str], str | None, type[Verdict]]] = [
    ("everything applies", SICK, set(), set(), SCALE, Yes),
    ("the first was tried", SICK, {SCALE}, set(), GROW_POOLS, Yes),
    ("two were tried", SICK, {SCALE, GROW_POOLS}, set(), SLOW_DOWN, Yes),
    ("all were tried", SICK, set(ORDER), set(), None, No),
    ("no room for pods", found(replicas=pods(5)), set(), set(), GROW_POOLS, Yes),
    ("the autoscaler reacts", found(replicas=REACTING), set(), set(), SCALE, Wait),
    ("it was waited for", found(replicas=REACTING), set(), {SCALE}, GROW_POOLS, Yes),
    ("a rollout, waited for once", found(replicas=ROLLING), set(), {SCALE}, GROW_POOLS, Wait),
    ("a rollout, waited for twice", found(replicas=ROLLING), set(), set(ORDER), SLOW_DOWN, Yes),
    ("only Kubernetes is blind", BLIND, set(), set(), None, No),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "tried", "waited", "option", "kind"), [row[1:] for row in LADDER], ids=[row[0] for row in LADDER]
)
def test_ladder(seen: Found, tried: set[str], waited: set[str], option: str | None, kind: type[Verdict]) -> None:
    decision = weighed(seen, Earlier(dict.fromkeys(tried, "no effect"), frozenset(waited)))
    assert [w.option for w in decision.weighed] == ORDER
    if option is None:
        assert decision.first is None
        assert decision.because == "no option is left" + (", and not everything could be read" if seen is BLIND else "")
    else:
        assert decision.first is not None
        assert decision.first.option == option
        assert isinstance(decision.first.verdict, kind)


def test_a_tried_option_says_what_came_of_it() -> None:
    decision = weighed(SICK, Earlier({"scale workers out": "2 → 5"}))
    assert decision.weighed[0].verdict == No("tried already: 2 → 5")


def test_an_unknown_trigger_is_acted_on_by_nobody() -> None:
    """The options' own readings say what is possible, not that it is needed."""
    decision = weighed(found(queue=GONE))
    assert decision == Decision(Blind("cannot tell whether there is anything to do: cannot be read"), ())
    assert decision.first is None


def test_nothing_readable_means_no_change() -> None:
    decision = weighed(Found(*[GONE] * 9))
    assert decision.first is None
    assert decision.blind


MISSING = [
    ("critical_task_queue_depth", found(queue=queue(951)), Act, 3),  # it is graver, and this runbook may help
    ("redis_connection_loss", found(queue=GONE, redis=GONE), Blind, 0),  # the cause is not this runbook's
]


@pytest.mark.parametrize(("runbook", "seen", "kind", "options"), MISSING, ids=[row[0] for row in MISSING])
def test_handed_over_only_to_what_is_deployed(runbook: str, seen: Found, kind: type[Triage], options: int) -> None:
    there = weighed(seen, deployed=frozenset({runbook, RUNBOOK.id}))
    assert isinstance(there.triage, HandOver)
    assert there.weighed == ()
    missing = weighed(seen, deployed=frozenset({RUNBOOK.id}))
    assert isinstance(missing.triage, kind)
    assert f"{runbook} is not deployed here" in missing.triage.because
    assert len(missing.weighed) == options


def test_a_healthy_platform_weighs_no_option() -> None:
    assert weighed(found(queue=queue(800))) == Decision(Healthy("800 tasks waiting, not more than 800"), ())


_maybe = st.booleans()


@given(st.tuples(*[_maybe] * 9), st.sampled_from([0.0, 10.0, 15.0]), st.sampled_from([0.0, 850.0, 2000.0]))
def test_no_evidence_however_poor_breaks_the_decision(blind: tuple[bool, ...], size: float, pending: float) -> None:
    names = ("queue", "pool", "durations", "slow_tasks", "replicas", "publishers", "pool_size", "load", "redis")
    seen = found(queue=queue(pending), pool=pool(size, size, 2 * size))
    seen = replace(seen, **{name: GONE for name, gone in zip(names, blind, strict=True) if gone})
    weighed(seen, deployed=frozenset({"critical_task_queue_depth", "redis_connection_loss"}))


def test_a_run_can_override_only_numbers_that_exist() -> None:
    assert set(Numbers.model_fields) <= set(HighTaskQueueDepth.model_fields)


def test_an_empty_pool_has_no_utilisation() -> None:
    with pytest.raises(UnknownReading, match="no workers"):
        _ = probes.WorkerPool(0, 0, 0).utilisation
    assert str(probes.WorkerPool(0, 0, 0)) == "0 of 0 workers busy (none), smallest pool 0"
