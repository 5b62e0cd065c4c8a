"""What the runbook's readings see of a namespace, on the practice ground's API server and on the real one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flows.message_bus import probes
from tasks.systems.kubernetes.pods import list_pods, metrics_addresses, pod_logs
from tasks.systems.logs import SlowTask
from tests.contract.kubernetes import NAME, Site, workload
from tests.lab.kubernetes.manifests import BURN, autoscaler, deployment
from tests.waiting import wait_for

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

LABELS = {"app": NAME}
RECENT = timedelta(minutes=5)


def talking(*lines: str, then: str = "exec sleep 1000") -> list[str]:
    """The command of a pod that writes these lines."""
    return ["sh", "-c", "".join(f"echo '{line}'; " for line in lines) + then]


def commanded(command: list[str], replicas: int = 1, **container: Any) -> dict[str, Any]:
    """The orchestration Deployment with another command, and further fields of its container."""
    document = deployment(NAME, replicas, command)
    document["spec"]["template"]["spec"]["containers"][0].update(container)
    return document


def test_replicas_without_an_autoscaler(site: Site) -> None:
    site.create(workload(2))
    found = probes.replicas(site.bus("viewer"), NAME).read().value
    assert (found.wanted, found.ready, found.settled, found.autoscaler) == (2, 2, True, None)


def test_replicas_with_an_autoscaler(site: Site) -> None:
    site.create(workload(1), autoscaler(NAME, 1, 4))

    def scaler() -> Any:
        return probes.replicas(site.bus("viewer"), NAME).read().value.autoscaler

    wait_for("the autoscaler's status", lambda: scaler().current == 1)
    assert (scaler().minimum, scaler().maximum, scaler().reacting) == (1, 4, False)


def test_a_rollout_in_progress_is_seen(site: Site) -> None:
    sick = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    site.create(commanded(talking(), readinessProbe=sick), settled=False)
    wait_for("a pod", site.pods)
    found = probes.replicas(site.bus("viewer"), NAME).read().value
    assert (found.wanted, found.ready, found.settled) == (1, 0, False)


def test_only_ready_pods_with_an_address_are_scraped(site: Site) -> None:
    site.create(workload(2))
    pods = list_pods(site.cluster("viewer"), LABELS)
    assert all(pod.ready and pod.restarts == 0 for pod in pods)
    assert sorted(metrics_addresses(site.cluster("viewer"), LABELS, 8082)) == sorted(
        f"http://{pod.ip}:8082/metrics" for pod in pods
    )
    site.patch("Deployment", NAME, {"spec": {"replicas": 0}})
    wait_for("nothing to scrape", lambda: metrics_addresses(site.cluster("viewer"), LABELS, 8082) == [])


def test_logs_of_every_pod(site: Site) -> None:
    lines = [
        '{"event": "task_completed", "task_name": "resize", "duration_ms": 40}',
        'level=info event=task_completed task_name=mail duration_ms="90"',
        "Traceback (most recent call last):",
    ]
    site.create(commanded(talking(*lines), replicas=2))
    wait_for("six lines", lambda: len(pod_logs(site.cluster("viewer"), LABELS, RECENT)) == 6)
    found = probes.slow_tasks(site.bus("viewer")).read().value
    assert found.tasks == (SlowTask("mail", 2, 90, 90), SlowTask("resize", 2, 40, 40))
    assert (found.lines, found.unreadable) == (6, 2)


def test_logs_of_a_container_that_crashed_are_read_too(site: Site) -> None:
    """What it wrote before its restart says why it crashed (D008)."""
    crash = (
        "test -e /tmp/$POD_UID || { touch /tmp/$POD_UID; echo last words; exit 3; }; echo second life; exec sleep 1000"
    )
    document = commanded(["sh", "-c", crash])
    source = {"fieldRef": {"fieldPath": "metadata.uid"}}
    document["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "POD_UID", "valueFrom": source}]
    site.create(document, settled=False)

    def lines() -> list[str]:
        return pod_logs(site.cluster("viewer"), LABELS, RECENT)

    wait_for("both lives", lambda: lines() == ["last words", "second life"], 20)
    (pod,) = list_pods(site.cluster("viewer"), LABELS)
    assert (pod.restarts, pod.last_exit) == (1, "Error")


def test_one_pod_that_has_not_started_does_not_hide_the_logs_of_the_others(site: Site) -> None:
    site.create(commanded(talking("hello")))
    stuck = commanded(talking("never"), envFrom=[{"configMapRef": {"name": "not-there-yet"}}])
    stuck["metadata"]["name"] = "stuck"
    site.create(stuck, settled=False)
    wait_for("two pods", lambda: len(site.pods()) == 2)
    wait_for("the log of one", lambda: pod_logs(site.cluster("viewer"), LABELS, RECENT) == ["hello"])


def test_logs_of_every_container_of_a_pod(site: Site) -> None:
    document = commanded(talking("the service"))
    (own,) = document["spec"]["template"]["spec"]["containers"]
    document["spec"]["template"]["spec"]["containers"].append({**own, "name": "sidecar", "command": talking("a proxy")})
    site.create(document)

    def lines() -> list[str]:
        return sorted(pod_logs(site.cluster("viewer"), LABELS, RECENT))

    wait_for("both", lambda: lines() == ["a proxy", "the service"])


def test_load_is_held_against_the_limits(site: Site) -> None:
    limits = {"cpu": "500m", "memory": "256Mi"}
    site.create(commanded(BURN, resources={"requests": limits, "limits": limits}))

    def load() -> probes.Load | None:
        try:
            found: probes.Load = probes.load(site.bus("viewer")).read().value
        except probes.NoLimits:  # the metrics API knows a pod only after a while
            return None
        return found if found.cpu > 0.1 else None

    found = wait_for("some load", load, 20)
    assert 0 < found.memory < 1


def test_without_limits_nothing_is_said_to_be_free(site: Site) -> None:
    site.create(commanded(talking()))  # a memory limit alone
    wait_for("the metrics API", lambda: _no_limits(site), 20)


def _no_limits(site: Site) -> bool:
    try:
        probes.load(site.bus("viewer")).read()
    except probes.NoLimits as error:
        return "no CPU or memory limit" in str(error)
    return False
