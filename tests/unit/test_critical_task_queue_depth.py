"""What "Critical Task Queue Depth" decides, as tables: one line per case, plain values in, verdict out."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus import probes
from flows.message_bus.critical_task_queue_depth import RUNBOOK, Found, Numbers, act_at_once, give_back, triage
from flows.message_bus.numbers import CriticalTaskQueueDepth, PausedSources
from tasks.claims import Claiming
from tasks.decide import Earlier, weigh
from tasks.model.change import Effect
from tasks.model.claim import Bound
from tasks.model.decision import Act, Blind, GiveBack, HandOver, Healthy, Keep, No, Triage, Verdict, Yes
from tasks.model.evidence import Unknown
from tasks.model.site import SideEffect
from tasks.model.target import Target
from tasks.systems.kubernetes.config import Restart
from tests.unit.message_bus import (
    DEPLOYMENT,
    GONE,
    READ_AT,
    RESTART,
    SETTING,
    at_least,
    at_most,
    bus,
    on,
    pods,
    pool,
    pool_size,
    queue,
    release,
    rollouts,
    shown,
)

ANALYTICS, JOBS = SOURCES = "analytics-publisher", "background-job-publisher"
SCALE = "replicas of orchestration: at least 10"
PAUSES = [f"replicas of {source}: at most 0" for source in SOURCES]

SICK = Found(
    queue=queue(980),
    pool=pool(),
    replicas=pods(2),
    pool_size=pool_size(),
    redis=probes.RedisAnswer(0.8),
    pausable=dict.fromkeys(SOURCES, pods(2)),
)


def found(**seen: Any) -> Found:
    """The sick platform, seen otherwise in these points."""
    return replace(SICK, **seen)


# ---- triage --------------------------------------------------------------------------------------------------------

TRIAGE: list[tuple[dict[str, Any], type[Triage], str]] = [
    ({"queue": queue(951)}, Act, "951 tasks waiting, more than 950"),
    ({"queue": queue(5000)}, Act, "5000 tasks waiting"),
    ({"queue": queue(950)}, Healthy, "not more than 950; more than 800 are high_task_queue_depth's"),
    ({"queue": queue(801)}, Healthy, "more than 800 are high_task_queue_depth's"),
    ({"queue": queue(0)}, Healthy, "0 tasks waiting, not more than 950"),
    ({"queue": GONE, "redis": GONE}, HandOver, "Redis does not answer: cannot be read"),
    ({"queue": queue(951), "redis": GONE}, Act, "951 tasks waiting"),
]


@pytest.mark.parametrize(("seen", "kind", "because"), TRIAGE)
def test_triage(seen: dict[str, Any], kind: type[Triage], because: str) -> None:
    verdict = triage(found(**seen), bus())
    assert isinstance(verdict, kind)
    assert because in verdict.because


def test_at_or_below_the_lesser_limit_nobody_else_is_named() -> None:
    assert triage(found(queue=queue(800)), bus()) == Healthy("800 tasks waiting, not more than 950")


def test_a_dead_redis_is_the_cause() -> None:
    verdict = triage(found(queue=GONE, redis=GONE), bus())
    assert isinstance(verdict, HandOver)
    assert (verdict.runbook, verdict.reason) == ("redis_connection_loss", "cause")


# ---- the immediate actions -----------------------------------------------------------------------------------------


def steps(seen: Found, **settings: Any) -> list[list[str]]:
    """The steps of the one option, in order."""
    verdict = act_at_once(seen, bus(**settings))
    assert isinstance(verdict, Yes), verdict
    return [shown(step) for step in verdict.steps]


ON_THE_DEPLOYMENT = "ORCHESTRATION_WORKER_POOL_SIZE of orchestration: at least 20"

# what is seen -> the steps, in order
BUNDLES: list[tuple[str, dict[str, Any], list[list[str]]]] = [
    ("all of it", {}, [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
    ("next to an autoscaler", {"replicas": pods(2, scaler=(2, 8, 2, 2))},
     [[f"{SETTING}: at least 20"], ["bounds of orchestration: at least 10"], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
    ("while it reacts", {"replicas": pods(2, scaler=(2, 8, 2, 4))},
     [[f"{SETTING}: at least 20"], ["bounds of orchestration: at least 10"], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
    ("no pods are coming: setting and restart are one step", {"replicas": pods(10)},
     [[PAUSES[0]], [PAUSES[1]], [f"{SETTING}: at least 20", RESTART]]),
    ("the setting is an entry of the Deployment", {"pool_size": pool_size(holder=DEPLOYMENT)},
     [[SCALE], [PAUSES[0]], [PAUSES[1]], [ON_THE_DEPLOYMENT]]),
    ("the pools are big enough", {"pool": pool(20), "pool_size": pool_size(20)}, [[SCALE], [PAUSES[0]], [PAUSES[1]]]),
    ("only the setting is behind", {"pool": pool(20)},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [PAUSES[1]]]),
    ("only the pods are behind", {"pool_size": pool_size(20)},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
    ("one source is paused already", {"pausable": {ANALYTICS: pods(0), JOBS: pods(2)}},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[1]], [RESTART]]),
    ("one source cannot be read: its step will be refused, not the bundle", {"pausable": {ANALYTICS: GONE}},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [RESTART]]),
    ("this site has no such sources", {"pausable": {}}, [[f"{SETTING}: at least 20"], [SCALE], [RESTART]]),
    ("Redis does not answer: no rollout", {"redis": GONE}, [[SCALE], [PAUSES[0]], [PAUSES[1]]]),
    ("the pool size cannot be read", {"pool_size": GONE}, [[SCALE], [PAUSES[0]], [PAUSES[1]]]),
    ("the pool cannot be read", {"pool": GONE}, [[SCALE], [PAUSES[0]], [PAUSES[1]]]),
    ("the pods cannot be read", {"replicas": GONE}, [[PAUSES[0]], [PAUSES[1]], [f"{SETTING}: at least 20", RESTART]]),
    ("in the middle of a rollout", {"replicas": pods(4, settled=False)},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
    ("pods that are scaled to nothing", {"replicas": pods(0, scaler=(2, 8, 0, 0)), "pool": pool(0, 0, 0)},
     [[f"{SETTING}: at least 20"], [SCALE], [PAUSES[0]], [PAUSES[1]], [RESTART]]),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "expected"), [row[1:] for row in BUNDLES], ids=[row[0] for row in BUNDLES])
def test_what_is_done_at_once_and_in_which_order(seen: dict[str, Any], expected: list[list[str]]) -> None:
    assert steps(found(**seen)) == expected


def test_when_all_is_done_there_is_nothing_left() -> None:
    done = found(replicas=pods(10), pool=pool(20), pool_size=pool_size(20), pausable=dict.fromkeys(SOURCES, pods(0)))
    verdict = act_at_once(done, bus())
    assert isinstance(verdict, No)
    for said in ("10 replicas run already", "every pod has 20 workers already", "no event source is left to pause"):
        assert said in verdict.because


def test_the_bundle_says_why_each_part_is_or_is_not_in_it() -> None:
    verdict = on(RUNBOOK, found(redis=GONE, replicas=pods(10)), "act at once")
    assert isinstance(verdict, Yes)
    for said in ("980 tasks are waiting", "10 replicas run already", "whether pools may grow cannot be told"):
        assert said in verdict.because


def test_an_unreadable_queue_means_no_change() -> None:
    verdict: Verdict = on(RUNBOOK, found(queue=GONE), "act at once")
    assert verdict == No("cannot tell whether there is anything to do: cannot be read", blind=True)


def test_nothing_readable_means_no_change() -> None:
    blind = Found(GONE, GONE, GONE, GONE, GONE, dict.fromkeys(SOURCES, GONE))
    decision = weigh(RUNBOOK, blind, bus(), Earlier())
    assert isinstance(decision.triage, Blind)
    assert decision.first is None


def test_the_ceilings_of_the_site_bound_the_floors() -> None:
    assert steps(found(pausable={}), replica_ceiling=4, worker_ceiling=12) == [
        [f"{SETTING}: at least 12"],
        ["replicas of orchestration: at least 4"],
        [RESTART],
    ]
    assert isinstance(
        act_at_once(found(replicas=pods(6), pool=pool(15), pausable={}), bus(replica_ceiling=4, worker_ceiling=12)), No
    )


# requeues on stop -> who is asked: setting, pods, two pauses, restart
ASKED = [(True, [False, False, True, True, False]), (False, [False, False, True, True, True])]


@pytest.mark.parametrize(("requeues", "asked"), ASKED)
def test_only_what_may_lose_or_delay_something_asks(requeues: bool, asked: list[bool]) -> None:
    verdict = act_at_once(SICK, bus(requeues_on_stop=requeues))
    assert isinstance(verdict, Yes)
    assert [bool(change.asks) for change in verdict.changes] == asked


@pytest.mark.parametrize("seen", [row[1] for row in BUNDLES])
def test_one_rollout_at_most_and_it_is_the_last_step(seen: dict[str, Any]) -> None:
    verdict = act_at_once(found(**seen), bus(requeues_on_stop=True))
    assert isinstance(verdict, Yes)
    assert rollouts(verdict.changes) <= 1
    assert rollouts([change for step in verdict.steps[:-1] for change in step]) == 0


def test_the_restart_is_the_one_since_the_setting_was_read() -> None:
    verdict = act_at_once(SICK, bus())
    assert isinstance(verdict, Yes)
    restart = verdict.changes[-1]
    assert isinstance(restart, Restart)
    assert restart.since == READ_AT


def test_a_pause_bypasses_the_autoscaler_and_is_taken_back_gradually() -> None:
    """No autoscaler goes below 1, and 0 replicas switch it off (D002)."""
    verdict = act_at_once(found(pausable={ANALYTICS: pods(2, scaler=(1, 4, 2, 2))}), bus())
    assert isinstance(verdict, Yes)
    (pause,) = [change for change in verdict.changes if change.target.name == ANALYTICS]
    assert pause.target == Target("deployment", "bus", ANALYTICS)
    assert pause.restore == "gradually, once fewer than 500 tasks wait"
    assert pause.effect is Effect.REVERSIBLE


def test_while_a_source_is_paused_the_alerts_that_say_so_are_held_back() -> None:
    site = bus(paused_sources=PausedSources(alerts=("Silent", "Slow"), label="source", fade_minutes=5))
    verdict = act_at_once(found(pausable={ANALYTICS: pods(2)}), site)
    assert isinstance(verdict, Yes)
    (pause,) = [change for change in verdict.changes if change.target.name == ANALYTICS]
    assert pause.restore == "gradually, once fewer than 500 tasks wait; alerts held back until then: Silent, Slow"
    silent, slow = site.address("prod").side_effects
    assert silent == SideEffect("Silent", site.pausable, ("replicas", "bounds"), Bound.AT_MOST, "source", 300)
    assert (slow.alert, bus().address("prod").side_effects) == ("Slow", ())


def test_a_site_names_its_sources_or_has_none() -> None:
    assert bus().not_critical == SOURCES
    site = bus(analytics_publisher="", background_job_publisher="jobs")
    assert site.not_critical == ("jobs",)
    assert site.pausable == ("event-publishers", "jobs")
    assert site.floors()["jobs"] == 0


@given(
    st.integers(0, 30), st.integers(0, 40), st.integers(0, 40),
    st.integers(1, 30), st.integers(1, 40), st.integers(1, 30), st.integers(1, 40),
)  # fmt: skip
def test_floors_never_lower_anything_and_never_pass_the_ceilings(
    have: int, smallest: int, configured: int, replicas: int, workers: int, replica_ceiling: int, worker_ceiling: int
) -> None:
    numbers = CriticalTaskQueueDepth(replicas=replicas, workers_per_pod=workers)
    seen = found(replicas=pods(have), pool=pool(smallest), pool_size=pool_size(configured))
    site = bus(replica_ceiling=replica_ceiling, worker_ceiling=worker_ceiling, critical_task_queue_depth=numbers)
    verdict = act_at_once(seen, site)
    assert isinstance(verdict, Yes)
    claims = [change for change in verdict.changes if isinstance(change, Claiming)]
    for change in claims:
        if change.claim.bound is Bound.AT_MOST:
            assert change.claim.value == 0
        elif change.field == "replicas":
            assert have < change.claim.value <= replica_ceiling
        else:
            assert min(smallest, configured) < change.claim.value <= worker_ceiling


@given(st.tuples(*[st.booleans()] * 5), st.floats(allow_nan=False), st.sampled_from([0.0, 10.0, 20.0]))
def test_no_evidence_however_poor_breaks_the_decision(blind: tuple[bool, ...], pending: float, size: float) -> None:
    names = [field.name for field in fields(Found)][:5]
    gone: dict[str, Any] = {name: GONE for name, is_gone in zip(names, blind, strict=True) if is_gone}
    weigh(RUNBOOK, found(**{"queue": queue(pending), "pool": pool(size, size, 2 * size), **gone}), bus(), Earlier())


# ---- giving back, criteria, form -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("pending", "fate"), [(499, GiveBack), (500, Keep)])
def test_event_sources_come_back_one_at_a_time_below_the_restore_level(pending: float, fate: type[Any]) -> None:
    verdict = give_back(found(queue=queue(pending)), bus(), release(at_most(0), {"replicas": 0}, {"replicas": 2}))
    assert isinstance(verdict, fate)
    if isinstance(verdict, GiveBack):
        assert verdict.step == 1


def test_capacity_is_given_back_when_what_is_left_carries_the_load() -> None:
    back = release(at_least(10), {"replicas": 10}, {"replicas": 2})
    numbers = CriticalTaskQueueDepth(restore_below=100)
    assert isinstance(give_back(found(queue=queue(20)), bus(), back), Keep)
    idle = found(queue=queue(99), pool=pool(active=2))
    assert isinstance(give_back(idle, bus(critical_task_queue_depth=numbers), back), GiveBack)
    assert isinstance(give_back(replace(idle, queue=queue(100)), bus(critical_task_queue_depth=numbers), back), Keep)


def test_it_is_answered_at_once() -> None:
    assert RUNBOOK.respond_within == timedelta(0)


def test_a_run_can_override_only_numbers_that_exist() -> None:
    assert set(Numbers.model_fields) <= set(CriticalTaskQueueDepth.model_fields)


def test_an_unknown_source_is_no_reason_to_leave_the_others() -> None:
    both = found(pausable={ANALYTICS: Unknown("Kubernetes answered 404"), JOBS: pods(2)})
    assert [step for step in steps(both) if step[0] in PAUSES] == [[pause] for pause in PAUSES]
