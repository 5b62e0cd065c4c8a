"""The ground's life: up, down, up again, and what it says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from kubernetes.client import ApiException

from lab.ground import Ground
from lab.model import Endpoints, Form, GroundError, Webhook
from tests.contract.servers import need
from tests.lab.alerts import Alerts
from tests.lab.person import Person
from tests.waiting import wait_for

pytestmark = pytest.mark.live


WORKLOADS = {"orchestration": 2, "event-publishers": 3, "analytics-publisher": 2, "background-job-publisher": 2}


def pids(state: Path) -> dict[str, int]:
    return {path.stem: json.loads(path.read_text())["pid"] for path in (state / "processes").glob("*.pid")}


def descendants(state: Path) -> set[int]:
    """Every process of the machine whose environment or command line names this ground."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(state) in words:
            found.add(int(process.name))
    return found - {os.getpid()}


def test_a_ground_that_is_down_refuses_what_needs_one_that_is_up(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.down()
    assert not ground.status().up
    with pytest.raises(GroundError, match="not up"):
        ground.break_("queue-overload", Form.CURABLE_AT_ONCE)
    with pytest.raises(GroundError, match="not up"):
        ground.heal()
    with pytest.raises(GroundError, match="not up"):
        ground.endpoints()
    with pytest.raises(GroundError, match="there is no rule file"):
        ground.up(rule_files=[tmp_path / "none.yml"])


def test_one_program_brings_it_up_and_another_takes_it_down(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from lab.ground import Ground; Ground(Path(sys.argv[1])).up()"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    ground = Ground(tmp_path)
    assert ground.status().up
    assert ground.up() == ground.endpoints()  # Nothing happens.
    with pytest.raises(GroundError, match="other settings"):
        ground.up(alert_webhook=Webhook("http://127.0.0.1:9", "secret"))
    ground.down()
    ground.down()
    assert not ground.status().up
    assert descendants(tmp_path) == set()


def test_a_ground_that_was_killed_comes_up_again(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.up(observability=False)
    running = pids(tmp_path)
    # A process that is dying is still there and does not answer any more: another one's pid in its place does the same.
    (tmp_path / "processes" / "apiserver.pid").write_text((tmp_path / "processes" / "kubelet.pid").read_text())
    os.kill(running["apiserver"], signal.SIGKILL)
    status = ground.status()
    assert (status.up, status.workloads, status.utilisation) == (True, (), None)
    assert status.queue_depth is not None
    for name in running.keys() - {"apiserver"}:
        os.kill(running[name], signal.SIGKILL)
    wait_for("all are dead", lambda: not any(component.running for component in ground.status().components), 5)
    ground.up(observability=False)
    assert ground.status().up
    ground.down()
    assert descendants(tmp_path) == set()


def test_status_tells_how_it_is(ground: Ground) -> None:
    status = ground.status()
    assert status.up
    assert status.fault is None
    assert {load.name: load.ready for load in status.workloads} == WORKLOADS
    assert status.queue_depth is not None
    assert status.utilisation is not None
    ground.break_("queue-overload", Form.HEALTHY)
    fault = ground.status().fault
    assert fault is not None
    assert (fault.name, fault.form) == ("queue-overload", Form.HEALTHY)
    with pytest.raises(GroundError, match="heal the ground first"):
        ground.break_("queue-overload", Form.INCURABLE)


def test_endpoints_are_written_down(ground: Ground, tmp_path: Path) -> None:
    endpoints = ground.endpoints()
    assert endpoints.contexts == ("admin", "operator", "viewer")
    stored = Endpoints.model_validate_json((endpoints.kubeconfig.parents[1] / "endpoints.json").read_text())
    assert stored == endpoints
    assert endpoints.kubeconfig.stat().st_mode & 0o077 == 0


def test_the_audit_log_tells_people_from_components(ground: Ground) -> None:
    begun = datetime.now(UTC)
    operator, viewer = Person(ground.endpoints()), Person(ground.endpoints(), context="viewer")
    operator.scale("event-publishers", 4)
    with pytest.raises(ApiException):
        viewer.scale("event-publishers", 5)
    with pytest.raises(ApiException):
        operator.delete_deployment("event-publishers")
    assert operator.cancel("none") == 404
    records = [record for record in ground.audit(begun) if not record.by_component]
    administered = records.pop()
    assert (administered.verb, administered.resource, administered.name) == ("delete", "tasks", "none")
    assert (administered.user, administered.namespace, administered.code) == ("anonymous", "message-bus", 404)
    assert [(record.user, record.verb, record.subresource, record.code) for record in records] == [
        ("runbooks", "patch", "scale", 200),
        ("viewer", "patch", "scale", 403),
        ("runbooks", "delete", "", 403),
    ]
    assert {(record.resource, record.namespace, record.name) for record in records} == {
        ("deployments", "message-bus", "event-publishers")
    }
    assert records[0].body == {"spec": {"replicas": 4}}
    assert [record.accepted for record in records] == [True, False, False]
    assert any(record.by_component for record in ground.audit())


@pytest.fixture
def observed() -> None:
    """Prometheus and Alertmanager are there; where they must be and are not, the test fails."""
    need("prometheus", "prometheus")
    need("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")


@pytest.mark.usefixtures("observed")
def test_prometheus_sees_every_pod(ground: Ground) -> None:
    def query(expression: str) -> list[dict[str, dict[str, str]]]:
        url = f"{ground.endpoints().prometheus_url}/api/v1/query"
        answer = httpx.get(url, params={"query": expression}, trust_env=False).json()
        result: list[dict[str, dict[str, str]]] = answer["data"]["result"]
        return result

    wait_for("two pods are scraped", lambda: len(query("orchestration_worker_pool_max == 10")) == 2, 10)
    series = query("orchestration_worker_pool_max")[0]["metric"]
    assert (series["namespace"], series["app"]) == ("message-bus", "orchestration")
    assert series["pod"].startswith("orchestration-")


@pytest.mark.usefixtures("observed")
def test_an_alert_reaches_the_webhook_and_is_resolved(ground: Ground, alerts: Alerts) -> None:
    alerts.forget()
    ground.break_("queue-overload", Form.CURABLE_AT_ONCE)
    wait_for("the alert arrives", lambda: alerts.statuses("HighTaskQueueDepth") == ["firing"], 25)
    assert alerts.authorizations() == {f"Bearer {alerts.token}"}
    ground.heal()
    wait_for("the alert is resolved", lambda: alerts.statuses("HighTaskQueueDepth")[-1] == "resolved", 25)
