"""What is made from the code is current: `prefect.yaml`, the alert rules, the page of the guards."""

from __future__ import annotations

import subprocess
from contextlib import chdir
from pathlib import Path

from prefect.deployments.runner import RunnerDeployment

from deployments.docs import DOCTOR_PAGE, GUARDS_PAGE, doctor_page, guards_page
from deployments.manifest import MANIFEST, manifest, render
from deployments.rules import WATCHDOG, rules, rules_yaml
from flows.catalogue import RUNBOOKS
from flows.message_bus.platform import MessageBus
from tests.contract.servers import need


def test_the_committed_manifest_is_current() -> None:
    assert MANIFEST.read_text() == render(), "run `python -m deployments.manifest`"


def test_a_deployment_bears_the_version_of_its_flow_also_in_a_checkout_with_a_remote(tmp_path: Path) -> None:
    """What `prefect deploy` records there is the commit, unless it is told otherwise."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in ("init -q", f"remote add origin {tmp_path}", "commit -q --allow-empty -m 1"):
        subprocess.run([*git, *words.split()], check=True)
    for listed in manifest()["deployments"]:
        made = RunnerDeployment(
            name=listed["name"], flow_name=listed["name"], version="hash", version_type=listed["version_type"]
        )
        made._version_from_flow = True
        with chdir(tmp_path):
            assert made._get_deployment_version_info(made.version_type).version == "hash"


def test_the_committed_page_of_the_guards_is_current() -> None:
    assert GUARDS_PAGE.read_text() == guards_page(), "run `python -m deployments.docs`"


def test_the_committed_page_of_the_doctor_is_current() -> None:
    assert DOCTOR_PAGE.read_text() == doctor_page(), "run `python -m deployments.docs`"


def test_the_rules_of_a_site_bear_its_labels_and_numbers() -> None:
    site = MessageBus(namespace="prod", alert_labels={"cluster": "c1"}, prometheus_labels={"namespace": "prod"})
    by_alert = {rule["alert"]: rule for rule in rules(site)["groups"][0]["rules"]}
    assert by_alert.pop(WATCHDOG)["labels"]["cluster"] == "c1"
    assert set(by_alert) == {runbook.alert for runbook in RUNBOOKS.values()}
    rule = by_alert["HighTaskQueueDepth"]
    assert rule["expr"] == 'max(orchestration_task_queue_pending{namespace="prod"}) > 800'
    assert rule["for"] == "300s"
    assert rule["labels"] == {"severity": "warning", "cluster": "c1"}
    assert by_alert["CriticalTaskQueueDepth"]["labels"]["severity"] == "critical"


def test_prometheus_accepts_the_rules(tmp_path: Path) -> None:
    promtool = need("prometheus", "promtool")
    path = tmp_path / "rules.yml"
    path.write_text(rules_yaml(MessageBus(namespace="prod", alert_labels={"cluster": 'c"1'})))
    done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
