"""The shipped defaults, unscaled, are the document's numbers, and every step of the document has its place in code."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.catalogue import FLOWS, RUNBOOKS
from flows.message_bus import critical_task_queue_depth as critical
from flows.message_bus import high_task_queue_depth as high
from flows.message_bus import probes
from flows.message_bus import worker_pool_exhaustion as exhaustion
from flows.message_bus.platform import DOCUMENT, MessageBus
from tasks.claims import Claiming
from tasks.decide import Earlier, weigh
from tasks.model.change import Change
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import Act, HandOver, Healthy, Yes
from tasks.model.evidence import Probe, Unknown
from tasks.model.incident import Raiser
from tasks.platform import Pace
from tasks.runbook import AnyRunbook, option_name
from tasks.systems.metrics import Gauge
from tests.unit.message_bus import graph, pods, pool, pool_size, queue, running, task

CATALOGUE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "catalogue" / "message-bus-orchestration.yaml").read_text()
)
ENTRIES: dict[str, dict[str, Any]] = {entry["id"]: entry for entry in CATALOGUE["runbooks"]}
MODULES = {"high_task_queue_depth": high, "critical_task_queue_depth": critical, "worker_pool_exhaustion": exhaustion}
HERE = MessageBus(namespace="bus", context="somewhere")

# Where each step of the document is in the code. Complete in both directions: see the tests.
DIAGNOSES: dict[str, dict[str, set[str]]] = {
    "high_task_queue_depth": {
        "queue_state": {"task queue"},
        "worker_pool": {"worker pool"},
        "slow_tasks": {"task durations", "slow tasks"},
    },
    "critical_task_queue_depth": {"queue_depth": {"task queue"}},
    "worker_pool_exhaustion": {
        "worker_state": {"worker pool", "task queue"},
        "blocking_tasks": {"long tasks", "running tasks"},
        "deadlock_check": {"dependency waits", "dependencies"},
    },
}
# Readings that no diagnosis of the document takes: the guards and conditions of its options need them.
FOR_DECISIONS = {
    "high_task_queue_depth": {
        "replicas of orchestration", "replicas of event-publishers", "configured pool size", "load", "redis",
    },
    "critical_task_queue_depth": {
        "worker pool", "replicas of orchestration", "replicas of analytics-publisher",
        "replicas of background-job-publisher", "configured pool size", "redis",
    },
    "worker_pool_exhaustion": {"replicas of orchestration", "configured pool size", "load", "redis"},
}  # fmt: skip
MITIGATIONS = {
    "high_task_queue_depth": {
        "scale_horizontally": "scale workers out",
        "increase_worker_pool": "grow worker pools",
        "rate_limit_ingestion": "rate limit ingestion",
    },
    "critical_task_queue_depth": {
        "emergency_scale_up": "act at once",
        "max_worker_pool": "act at once",
        "pause_analytics": "act at once",
        "pause_background_jobs": "act at once",
    },
    "worker_pool_exhaustion": {
        "emergency_scale_up": "emergency scale up",
        "kill_stuck_tasks": "cancel stuck task",
        "restart_workers": "restart workers",
    },
}
# Decisions of the document that lead to no mitigation.
LEADS: dict[str, type[HandOver | Healthy]] = {"escalate_to_critical": HandOver, "already_clear": Healthy}

every_runbook = pytest.mark.parametrize("id", list(ENTRIES))
every_mitigation = pytest.mark.parametrize(
    ("id", "step_id"), [(id, step) for id in MITIGATIONS for step in MITIGATIONS[id]]
)
every_criterion = pytest.mark.parametrize(
    ("id", "step_id"), [(id, criterion["id"]) for id, entry in ENTRIES.items() for criterion in entry["validate"]]
)


def step(id: str, part: str, step_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in ENTRIES[id][part] if entry["id"] == step_id)
    return found


def ids(id: str, part: str) -> list[str]:
    return [entry["id"] for entry in ENTRIES[id][part]]


# ---- the runbooks as a whole ---------------------------------------------------------------------------------------


def test_every_runbook_of_the_copy_is_there_and_no_other() -> None:
    assert set(RUNBOOKS) == set(FLOWS) == set(ENTRIES) == set(MODULES)


@every_runbook
def test_identity(id: str) -> None:
    runbook, entry = RUNBOOKS[id], ENTRIES[id]
    assert (runbook.id, runbook.alert, runbook.section) == (entry["id"], entry["alert"], entry["title"])
    assert runbook.severity.value == entry["severity"]
    assert runbook.respond_within == timedelta(minutes=entry["response_minutes"])
    assert runbook.document == DOCUMENT == CATALOGUE["document"]


@every_runbook
def test_the_module_reads_like_its_section(id: str) -> None:
    assert ENTRIES[id]["title"] in (MODULES[id].__doc__ or "")
    assert FLOWS[id].name == RUNBOOKS[id].slug
    assert inspect.getdoc(FLOWS[id].fn)


@every_runbook
def test_trigger(id: str) -> None:
    stated, trigger = ENTRIES[id]["trigger"], RUNBOOKS[id].trigger(HERE)
    assert trigger.broken == Limit(stated["comparator"], stated["threshold"], "tasks")
    assert trigger.hold == timedelta(minutes=stated["hint_for_minutes"])


def test_what_the_triggers_ask() -> None:
    depth = Gauge("orchestration_task_queue_pending", "max")
    assert high.RUNBOOK.trigger(HERE).question == critical.RUNBOOK.trigger(HERE).question == depth
    assert exhaustion.RUNBOOK.trigger(HERE).question == probes.waiting_while_busy(HERE)


def test_platform() -> None:
    stated = CATALOGUE["configuration"]
    assert HERE.orchestration == stated["deployment"]
    assert HERE.orchestration_labels == stated["labels"]
    for name in ("metrics_port", "publishers", "analytics_publisher", "background_job_publisher", "pool_size_key"):
        assert getattr(HERE, name) == stated[name]
    assert HERE.pool_size_default == stated["pool_size_default"]
    assert set(HERE.series.model_dump().values()) == set(CATALOGUE["metrics"])
    assert HERE.escalate_after == timedelta(minutes=CATALOGUE["escalate_after_minutes"])


@every_runbook
def test_a_site_as_it_is_shipped_allows_what_the_document_wants(id: str) -> None:
    numbers = getattr(HERE, id)
    assert HERE.replica_ceiling >= numbers.replicas
    assert HERE.worker_ceiling >= numbers.workers_per_pod


def test_the_pace_is_that_of_a_real_site() -> None:
    """The practice ground scales these down; nobody may ship its pace by mistake."""
    pace = Pace.model_validate({})
    assert pace.settle >= 3 * pace.poll, "a criterion holds over several samples"
    assert pace.settle >= timedelta(seconds=60)
    assert pace.window >= timedelta(minutes=5)
    recovered = step("high_task_queue_depth", "validate", "queue_below_warning")["within_minutes"]
    assert pace.quick_check < timedelta(minutes=recovered)


# ---- diagnose ------------------------------------------------------------------------------------------------------


def wanted(runbook: AnyRunbook) -> list[str]:
    names: list[str] = []

    def look(probe: Probe[Any]) -> Any:
        names.append(probe.name)
        return Unknown("not read")

    runbook.evidence(look, HERE)
    return names


@every_runbook
def test_every_diagnosis_has_its_probes_and_every_probe_its_reason(id: str) -> None:
    assert set(DIAGNOSES[id]) == set(ids(id, "diagnose"))
    names = wanted(RUNBOOKS[id])
    assert len(names) == len(set(names))
    assert set(names) == set().union(*DIAGNOSES[id].values()) | FOR_DECISIONS[id]


def test_the_marks_of_the_blocking_tasks() -> None:
    stated = step("worker_pool_exhaustion", "diagnose", "blocking_tasks")
    assert HERE.worker_pool_exhaustion.long == timedelta(seconds=stated["long_seconds"])
    lines = [f'{{"event": "task_running", "task_id": "t{n}", "duration_ms": {n}}}' for n in range(30)]
    assert len(probes.read_long_tasks(lines, HERE.worker_pool_exhaustion.long).tasks) == stated["longest"]


# ---- decide and mitigate -------------------------------------------------------------------------------------------


@every_runbook
def test_every_mitigation_is_an_option_in_the_documents_order(id: str) -> None:
    assert list(MITIGATIONS[id]) == ids(id, "mitigate")
    order = [option_name(option) for option in RUNBOOKS[id].options]
    assert list(dict.fromkeys(MITIGATIONS[id].values())) == order


@every_runbook
def test_every_decision_leads_where_the_document_says(id: str) -> None:
    for entry in ENTRIES[id]["decide"]:
        known = [then for then in entry["then"] if then in MITIGATIONS[id]]
        if entry["id"] in LEADS:
            (then,) = entry["then"]
            assert LEADS[entry["id"]] is {"no_action": Healthy}.get(then, HandOver)
        else:
            assert known == entry["then"]
            assert len({MITIGATIONS[id][then] for then in known}) == 1, "one decision, one option"


def sick(pending: float) -> Any:
    """A platform in which every option of "High Task Queue Depth" applies."""
    return high.Found(
        queue=queue(pending),
        pool=pool(HERE.pool_size_default),
        durations=probes.TaskDurations(0.4),
        slow_tasks=probes.SlowTasks((), 0, 0),
        replicas=pods(2),
        publishers=pods(3),
        pool_size=pool_size(HERE.pool_size_default),
        load=probes.Load(0.1, 0.1),
        redis=probes.RedisAnswer(1),
    )


CRITICAL = critical.Found(
    queue=queue(990),
    pool=pool(HERE.pool_size_default),
    replicas=pods(2),
    pool_size=pool_size(HERE.pool_size_default),
    redis=probes.RedisAnswer(1),
    pausable={name: pods(2) for name in HERE.not_critical},
)
ORDINARY = exhaustion.Found(
    queue=queue(87),
    pool=pool(HERE.pool_size_default),
    long_tasks=probes.LongTasks((), 0, timedelta(seconds=60), 0, 0),
    waits=probes.DependencyWaits((), 0, 0),
    dependencies=graph(),
    running=running(),
    replicas=pods(2),
    pool_size=pool_size(HERE.pool_size_default),
    load=probes.Load(0.1, 0.1),
    redis=probes.RedisAnswer(1),
)
OLD = step("worker_pool_exhaustion", "mitigate", "kill_stuck_tasks")["older_than_seconds"]
STUCK = replace(ORDINARY, running=running(task("a", OLD + 0.1)))

SEEN: dict[str, dict[str, Any]] = {
    "high_task_queue_depth": dict.fromkeys(MITIGATIONS["high_task_queue_depth"], sick(900)),
    "critical_task_queue_depth": dict.fromkeys(MITIGATIONS["critical_task_queue_depth"], CRITICAL),
    "worker_pool_exhaustion": {
        "emergency_scale_up": ORDINARY,
        "kill_stuck_tasks": STUCK,
        "restart_workers": STUCK,
    },
}
# Which changes of a bundle are those of one step of the document: by the name of the target.
TARGETS = {
    "emergency_scale_up": {"orchestration", "orchestration-config"},
    "pause_analytics": {"analytics-publisher"},
    "pause_background_jobs": {"background-job-publisher"},
}
DEPLOYED = frozenset({"critical_task_queue_depth"})


def test_already_clear_at_the_threshold_and_acting_above_it() -> None:
    limit = step("high_task_queue_depth", "decide", "already_clear")["threshold"]
    assert isinstance(weigh(high.RUNBOOK, sick(limit), HERE, Earlier(), DEPLOYED).triage, Healthy)
    assert isinstance(weigh(high.RUNBOOK, sick(limit + 1), HERE, Earlier(), DEPLOYED).triage, Act)


def test_escalated_above_the_critical_threshold() -> None:
    entry = step("high_task_queue_depth", "decide", "escalate_to_critical")
    limit = entry["threshold"]
    assert isinstance(weigh(high.RUNBOOK, sick(limit), HERE, Earlier(), DEPLOYED).triage, Act)
    triage = weigh(high.RUNBOOK, sick(limit + 1), HERE, Earlier(), DEPLOYED).triage
    assert isinstance(triage, HandOver)
    assert entry["then"] == [f"runbook:{triage.runbook}"]


def test_the_critical_limit_is_the_same_for_both_runbooks() -> None:
    assert HERE.high_task_queue_depth.critical_limit == HERE.critical_task_queue_depth.queue_limit


@pytest.mark.parametrize(
    ("id", "seen"),
    [
        ("critical_task_queue_depth", replace(CRITICAL, queue=queue(950))),
        ("worker_pool_exhaustion", replace(ORDINARY, queue=queue(50))),
        ("worker_pool_exhaustion", replace(ORDINARY, pool=pool(10, 19, 20))),
    ],
)
def test_at_the_threshold_nothing_is_done(id: str, seen: Any) -> None:
    assert isinstance(weigh(RUNBOOKS[id], seen, HERE, Earlier()).triage, Healthy)


def changes(id: str, step_id: str, site: MessageBus = HERE) -> list[Change]:
    """The changes with which a step of the document is made at a site as it is shipped."""
    option = next(option for option in RUNBOOKS[id].options if option_name(option) == MITIGATIONS[id][step_id])
    verdict = option(SEEN[id][step_id], site)
    assert isinstance(verdict, Yes)
    if id != "critical_task_queue_depth":
        return list(verdict.changes)
    pool_size = {change for change in verdict.changes if change.field in ("rollout", HERE.pool_size_key)}
    if step_id == "max_worker_pool":
        return [change for change in verdict.changes if change in pool_size]
    return [c for c in verdict.changes if c not in pool_size and c.target.name in TARGETS[step_id]]


@every_mitigation
def test_values_and_semantics_of_the_mitigations(id: str, step_id: str) -> None:
    """Every number is a floor or a ceiling (D001, D004)."""
    found = [change for change in changes(id, step_id) if isinstance(change, Claiming)] or changes(id, step_id)
    assert {change.wanted for change in found} == set(step(id, "mitigate", step_id)["wants"])


@every_mitigation
def test_who_is_asked(id: str, step_id: str) -> None:
    """A rollout asks nobody only where it is confirmed that it loses no task (D005)."""
    site = HERE.model_copy(update={"requeues_on_stop": True})
    asked = {bool(change.asks) for change in changes(id, step_id, site)}
    assert asked == {step(id, "mitigate", step_id)["needs_approval"]}


@pytest.mark.parametrize(
    ("id", "step_id"),
    [
        ("high_task_queue_depth", "increase_worker_pool"),
        ("critical_task_queue_depth", "max_worker_pool"),
        ("worker_pool_exhaustion", "emergency_scale_up"),
    ],
)
def test_a_rollout_asks_until_it_is_confirmed_that_no_task_is_lost(id: str, step_id: str) -> None:
    assert HERE.requeues_on_stop is False
    (rollout,) = [change for change in changes(id, step_id) if change.field == "rollout"]
    assert rollout.asks


def test_a_task_is_stuck_when_it_is_older_than_the_document_says() -> None:
    assert HERE.worker_pool_exhaustion.stuck_after == timedelta(seconds=OLD)
    young = replace(STUCK, running=running(task("a", OLD)))
    verdicts = {w.option: w.verdict for w in weigh(exhaustion.RUNBOOK, young, HERE, Earlier()).weighed}
    assert isinstance(verdicts["emergency scale up"], Yes)
    assert not isinstance(verdicts["cancel stuck task"], Yes)


@every_runbook
def test_restore_level(id: str) -> None:
    below, numbers = ENTRIES[id]["restore"]["below"], getattr(HERE, id)
    assert numbers.restore_below == below
    assert below <= numbers.queue_limit, "given back at a stricter level than the alarm's, or at the same"
    for step_id in MITIGATIONS[id]:
        for change in changes(id, step_id):
            if isinstance(change, Claiming):
                assert f"fewer than {below} tasks wait" in change.restore


# ---- validate ------------------------------------------------------------------------------------------------------


def criterion(id: str, criterion_id: str) -> Criterion:
    return next(c for c in RUNBOOKS[id].criteria(HERE, Raiser.ALERTMANAGER) if c.id == criterion_id)


@every_runbook
def test_every_criterion_of_the_document_gates_and_no_other(id: str) -> None:
    assert [c.id for c in RUNBOOKS[id].criteria(HERE, Raiser.ALERTMANAGER)] == ids(id, "validate")


@every_criterion
def test_limits_and_deadlines_of_the_criteria(id: str, step_id: str) -> None:
    stated, found = step(id, "validate", step_id), criterion(id, step_id)
    if "threshold" in stated:
        assert found.limit == Limit(stated["comparator"], stated["threshold"], stated["unit"])
    within = stated.get("within_minutes", CATALOGUE["escalate_after_minutes"])
    assert found.within == timedelta(minutes=within), "without a deadline of its own it has the escalation time"
    assert found.settle == HERE.pace.settle
    # The upper end of a band gates, the lower end informs (D068).
    assert found.inform == (Limit(">=", stated["usually"], stated["unit"]) if "usually" in stated else None)
