"""The doctor on a whole installation: all is fine, then one thing after the other is broken, and it says which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from prefect.client.schemas.actions import BlockDocumentUpdate, WorkPoolUpdate
from pydantic import SecretStr

from deployments.doctor import triggers
from deployments.manifest import manifest
from deployments.practice import NUMBERS, SITE, practice_site
from flows.message_bus.platform import MessageBus, Series
from tasks.contacts import Channel
from tasks.installation import adopt
from tasks.ledger import Ledger
from tasks.limits import Limits
from tasks.model.outcome import Trust
from tasks.settings import settings
from tasks.systems.prefect import get_client
from tests.live.conftest import ROUTING_KEY, Commands, World
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(280)]

UNKNOWN = {"reading-fails", "criterion-unknown"}


def channels(world: World) -> list[Channel]:
    """Somebody for each level that is called by itself."""
    key, url = SecretStr(ROUTING_KEY), world.pager.url
    return [Channel(kind="pagerduty", level=level, address=key, server=url) for level in (1, 2)]


def save(world: World, **changes: Any) -> None:
    """The site as it should be, but for these settings."""
    good = {"contacts": channels(world), "trust_by_runbook": {}, **NUMBERS}
    world.save_site(**{**good, **changes})


proven = partial(pytest.param, marks=pytest.mark.prove)


@pytest.fixture(scope="module")
def well(world: World) -> Iterator[World]:
    """The world with its health check on, which the other live tests have off."""
    adopt(world.ledger)
    with get_client(sync_client=True) as prefect:
        check = prefect.read_deployment_by_name("health-check/health-check").id
        prefect.resume_deployment(check)
        yield world
        prefect.pause_deployment(check)


@pytest.fixture
def doctor(well: World, commands: Commands) -> Iterator[Doctor]:
    """The doctor in this process, and the site as it should be before and after."""
    save(well)
    yield Doctor(well, commands)
    save(well)


class Doctor:
    """The command, and what it finds."""

    def __init__(self, world: World, commands: Commands) -> None:
        self.world = world
        self._commands = commands
        self.findings: list[dict[str, str]] = []
        self.code: object = None

    def finds(self, *arguments: str) -> set[str]:
        """The kinds that are found, apart from what is fine."""
        self.code, out, error = self._commands.run("doctor", "--intake", self.world.at.intake, "--json", *arguments)
        assert self.code in (0, 1), error
        self.findings = json.loads(out)["findings"]
        return {finding["kind"] for finding in self.findings if finding["severity"] != "fine"}

    def seen(self, kind: str) -> list[str]:
        """What was seen of a kind."""
        return [finding["seen"] for finding in self.findings if finding["kind"] == kind]


def test_all_is_fine_and_nothing_is_changed(healthy: World, doctor: Doctor) -> None:
    began = datetime.now(UTC)
    assert wait_for("a doctor who finds nothing", lambda: not doctor.finds(), 60)
    assert doctor.code == 0
    assert len(doctor.findings) > 40
    assert healthy.writes(began) == []
    assert healthy.pager.arrived == []


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"series": Series.model_validate({"running": "tasks_running"})}, {"series-missing", "reading-fails"}),
        proven({"prometheus_labels": {"namespace": "typo"}}, {"labels-match-no-series", *UNKNOWN}),
        proven({"alert_labels": {"site": "typo"}}, {"rule-leads-nowhere", "watchdog-missing"}),
        proven({"context": "viewer"}, {"may-not-write"}),
        proven({"prometheus_url": "http://127.0.0.1:1"}, {"prometheus-unreachable", "look-not-made", *UNKNOWN}),
    ],
    ids=lambda value: ",".join(value),
)  # fmt: skip
def test_a_setting_that_is_wrong(doctor: Doctor, broken: dict[str, Any], expected: set[str]) -> None:
    save(doctor.world, **broken)
    assert doctor.finds() == expected


@pytest.mark.prove
def test_several_settings_at_once(doctor: Doctor) -> None:
    limits = Limits.model_validate({"changes_per_hour": 0})
    save(doctor.world, context="viewer", trust=Trust.PLAN, contacts=[], limits=limits, replica_ceiling=4)
    assert doctor.finds() == {
        "may-not-write-yet",
        "trust-stops-short",
        "nobody-to-call",
        "level-without-contact",
        "no-changes-allowed",
        "ceiling-below-goal",
    }


@pytest.mark.prove
def test_a_wrong_token(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    lines = doctor.world.endpoints.kubeconfig.read_text().splitlines()
    file.write_text("\n".join("    token: wrong" if "token:" in line else line for line in lines))
    save(doctor.world, kubeconfig=str(file))
    assert "kubernetes-unreachable" in doctor.finds()
    assert "does not know this account (401)" in doctor.seen("kubernetes-unreachable")[0]


@pytest.mark.prove
def test_pods_that_are_gone(healthy: World, doctor: Doctor) -> None:
    """Scaled to nothing by somebody: nothing reports any more, and silence is not taken for health."""
    save(healthy)
    api = client.AppsV1Api(config.new_client_from_config(str(healthy.endpoints.kubeconfig), "admin"))  # type: ignore[no-untyped-call]
    scale = {"spec": {"replicas": 0}}
    api.patch_namespaced_deployment_scale("orchestration", healthy.endpoints.namespace, scale)
    wait_for(
        "the series to be gone",
        lambda: doctor.finds() >= {"series-missing", "rule-without-series", *UNKNOWN},
        60,
    )
    healthy.ground.heal()
    wait_for("a doctor who finds nothing", lambda: not doctor.finds(), 90)


@pytest.mark.prove
def test_what_prefect_has(doctor: Doctor) -> None:
    """A trigger that is off, one that is gone, a pool that is paused, a schedule that is off."""
    entry = next(entry for entry in manifest()["deployments"] if entry.get("triggers"))
    with get_client(sync_client=True) as prefect:
        check = prefect.read_deployment_by_name("health-check/health-check").id
        (trigger,) = triggers.read(entry)
        automation = trigger.found[0].id
        prefect.pause_automation(automation)
        assert doctor.finds() == {"trigger-disabled"}
        prefect.delete_automation(automation)
        prefect.pause_deployment(check)
        assert doctor.finds() == {"trigger-missing", "deployment-paused"}
        prefect.create_automation(trigger.wanted)
        prefect.resume_deployment(check)
        prefect.update_work_pool("runbooks", WorkPoolUpdate(is_paused=True))
        found = doctor.finds()
        prefect.update_work_pool("runbooks", WorkPoolUpdate(is_paused=False))
        assert "pool-paused" in found


@pytest.mark.prove
def test_the_kill_switch(doctor: Doctor, commands: Commands) -> None:
    commands.run("pause", "--site", SITE, "--reason", "change night")
    found = doctor.finds()
    commands.run("resume", "--site", SITE)
    assert found == {"automation-paused"}
    assert "change night" in doctor.seen("automation-paused")[0]


@contextmanager
def another_site(world: World, **changes: Any) -> Iterator[None]:
    """A second site for a while."""
    other = practice_site(world.endpoints).model_copy(update={"contacts": channels(world), **changes})
    other.save("another", overwrite=True)
    try:
        yield
    finally:
        MessageBus.delete("another")


@pytest.mark.prove
def test_another_site_with_the_same_labels_and_one_that_cannot_be_read(doctor: Doctor) -> None:
    with another_site(doctor.world):
        assert doctor.finds("--site", SITE) == {"sites-with-the-same-labels"}
        with get_client(sync_client=True) as prefect:
            found = prefect.read_block_document_by_name("another", "message-bus")
            broken = BlockDocumentUpdate(data={"metrics_port": "none"}, merge_existing_data=True)
            prefect.update_block_document(found.id, broken)
        assert doctor.finds() == {"site-unreadable"}
        assert "metrics_port" in doctor.seen("site-unreadable")[0]


@pytest.mark.prove
def test_an_alert_that_is_no_sites(healthy: World, doctor: Doctor) -> None:
    save(healthy, alert_labels={"site": "typo"})
    healthy.force_alert("WorkerPoolExhaustion", "warning")
    wait_for("the alert", lambda: "alert-of-no-site" in doctor.finds(), 30)
    assert f"site: {SITE}" in doctor.seen("alert-of-no-site")[0]
    healthy.end_forced_alerts()  # before the site answers to it again
    wait_for("its end", lambda: None if "alert-of-no-site" in doctor.finds() else True, 60)


@pytest.mark.prove
def test_another_ledger(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("RUNBOOKS_LEDGER", url)
    settings.cache_clear()
    try:
        assert "ledger-missing" in doctor.finds()
        Ledger(url).close()
        assert doctor.finds() == {"ledger-not-the-installations"}
    finally:
        settings.cache_clear()


@pytest.mark.prove
def test_a_test_notice_is_sent_only_when_asked_for(healthy: World, doctor: Doctor) -> None:
    save(healthy)
    healthy.pager.arrived.clear()
    assert doctor.finds("--notify") == set()
    sent = [one.json() for one in healthy.pager.arrived]
    assert sorted(one["event_action"] for one in sent) == ["resolve", "resolve", "trigger", "trigger"]
    healthy.pager.arrived.clear()


def test_where_nothing_answers(world: World) -> None:
    """As a person types it: every trouble is told, and nothing is a traceback."""
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:1/api"}
    command = [sys.executable, "-m", "deployments.cli", "doctor", "--intake", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Connection refused" in done.stdout
    assert "runbooks server" in done.stdout
    environment.pop("PREFECT_API_URL")
    unnamed = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert unnamed.returncode == 1, unnamed.stderr
    assert "PREFECT_API_URL is not set" in unnamed.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("doctor", "--site", "nowhere"), "there is no site 'nowhere'"),
        (("doctor", "--intake", "not an address"), "--intake is no http or https address"),
        (("role", "nowhere"), "there is no site 'nowhere'"),
    ],
)
def test_bad_input_gets_one_sentence(world: World, commands: Commands, arguments: tuple[str, ...], told: str) -> None:
    code, _, error = commands.run(*arguments)
    assert code == 2
    assert told in error


def test_the_role_of_a_site(world: World, commands: Commands) -> None:
    world.save_site()
    code, out, _ = commands.run("role", SITE, "--user", "runbooks")
    assert code == 0
    assert "kind: Role\n" in out
    assert "kind: RoleBinding\n" in out
