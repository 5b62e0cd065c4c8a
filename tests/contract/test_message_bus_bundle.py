"""The immediate actions of "Critical Task Queue Depth", on the practice ground's API server and on the real one."""

from __future__ import annotations

from typing import Any

import pytest

from flows.message_bus import critical_task_queue_depth as critical
from flows.message_bus import probes
from flows.message_bus.numbers import CriticalTaskQueueDepth
from flows.message_bus.platform import MessageBus
from tasks.facts import LiveFacts
from tasks.mitigate import Attempt, mitigate
from tasks.model.decision import Weighed, Yes
from tasks.model.refusal import Refusal
from tests.contract.kubernetes import CONFIGMAP, KEY, NAME, Site, settings, workload
from tests.lab.kubernetes.manifests import autoscaler, deployment
from tests.unit.inline import inline_case

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

ANALYTICS, JOBS = "analytics-publisher", "background-job-publisher"
NUMBERS = CriticalTaskQueueDepth(replicas=3)  # ten pods would take longer and show nothing else


def act(site: Site, monkeypatch: pytest.MonkeyPatch, *, approved: bool, workers: int = 10, **other: Any) -> Attempt:
    """The option is taken as a run takes it, by what the cluster says and with a full queue."""
    bus = site.bus(critical_task_queue_depth=NUMBERS, requeues_on_stop=True, **other)
    monkeypatch.setattr(LiveFacts, "approved", lambda facts, key: approved)
    verdict = critical.act_at_once(found(bus, workers), bus)
    assert isinstance(verdict, Yes)
    case = inline_case(monkeypatch, runbook=critical.RUNBOOK, platform=bus)
    return mitigate(case, Weighed("act at once", "", verdict))


def found(bus: MessageBus, workers: int) -> critical.Found:
    return critical.Found(
        queue=probes.TaskQueue(990, 20, 30, 5),
        pool=probes.WorkerPool(workers, workers, workers),
        replicas=probes.replicas(bus, NAME).read().value,
        pool_size=probes.pool_size(bus).read().value,
        redis=probes.RedisAnswer(1),
        pausable={name: probes.replicas(bus, ANALYTICS).read().value for name in bus.not_critical},
    )


def writes(site: Site) -> list[str]:
    return [write.what for write in site.writes() if write.code == 200]


def test_everything_in_order_with_one_rollout_and_a_missing_source_refuses_its_own_step(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create(settings(**{KEY: "10"}), workload(1, sources=[CONFIGMAP]), deployment(ANALYTICS, 2))
    attempt = act(site, monkeypatch, approved=True)
    assert attempt.changed
    assert writes(site) == [
        f"configmaps/{CONFIGMAP}",
        f"deployments/scale/{NAME}",
        f"deployments/scale/{ANALYTICS}",
        f"deployments/{NAME}",
    ]
    assert site.get("ConfigMap", CONFIGMAP)["data"][KEY] == "20"
    assert (site.replicas(), site.replicas(ANALYTICS)) == (3, 0)
    assert site.get("Deployment", NAME)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    (refused,) = attempt.refusals
    assert refused.refusal is Refusal.CANNOT_BE_JUDGED
    assert JOBS in refused.detail
    assert "404" in refused.detail


def test_what_asks_waits_and_the_rest_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create(settings(**{KEY: "10"}), workload(1, sources=[CONFIGMAP]), deployment(ANALYTICS, 2))
    attempt = act(site, monkeypatch, approved=False, background_job_publisher="")
    assert attempt.waiting is not None
    assert [step.planned[0].change.target.name for step in attempt.waiting.asking] == [ANALYTICS]
    assert writes(site) == [f"configmaps/{CONFIGMAP}", f"deployments/scale/{NAME}", f"deployments/{NAME}"]
    assert site.replicas(ANALYTICS) == 2


def test_next_to_autoscalers_bounds_are_raised_and_a_source_is_paused_past_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create(
        settings(**{KEY: "20"}),
        workload(1, sources=[CONFIGMAP]),
        autoscaler(NAME, 1, 2),
        deployment(ANALYTICS, 2),
        autoscaler(ANALYTICS, 1, 4),
    )
    act(site, monkeypatch, approved=True, workers=20, background_job_publisher="")
    assert site.bounds() == (3, 3)
    assert (site.replicas(), site.replicas(ANALYTICS)) == (3, 0)
    assert site.bounds(ANALYTICS) == (1, 4), "0 replicas switch an autoscaler off; its bounds stay"
