"""One installation and one practice ground for all live tests: server, worker, intake, cluster, message bus."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psutil
import pytest
from pydantic import SecretStr

from deployments.cli import main
from deployments.practice import SITE, only, practice_site, write_practice_rules
from deployments.rules import WATCHDOG
from deployments.stack import Addresses, Stack
from flows.message_bus.platform import MessageBus
from lab import plain_http, servers
from lab.audit import AuditRecord
from lab.ground import Ground
from lab.model import Endpoints, Form
from tasks import failpoint
from tasks.contacts import Channel
from tasks.ledger import ClaimState, Ledger, RunRecord
from tasks.model.incident import Incident
from tasks.report import Report
from tasks.systems.prefect import get_client
from tests.contract.receiver import Receiver, receiving
from tests.waiting import wait_for

T = TypeVar("T")

# What a test asks again and again reads no certificates each time: that takes longer than to ask.
HTTP = httpx.Client(trust_env=False, verify=plain_http.TRUSTS_NOBODY)

ROUTING_KEY = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class World:
    """What a live test acts on and asks: the lab's own audit log is the judge, never our record."""

    at: Addresses
    stack: Stack
    ground: Ground
    endpoints: Endpoints
    ledger: Ledger
    pager: Receiver
    fail_plan: Path
    _forced: list[dict[str, Any]] = field(default_factory=list)
    _settings: dict[str, Any] = field(default_factory=dict)

    # ---- the site ----

    def watch_only(self, runbook: str) -> None:
        """Only this runbook may act: the others, whose alerts the same fault raises, look and report."""
        self._settings.clear()
        self._settings.update(only(runbook))
        self.save_site()

    def save_site(self, **changes: Any) -> None:
        """Saves the practice ground's block, with these settings changed."""
        channels = [Channel(kind="pagerduty", level=1, address=SecretStr(ROUTING_KEY), server=self.pager.url)]
        update = {"contacts": channels, **self._settings, **changes}
        site: MessageBus = practice_site(self.endpoints).model_copy(update=update)
        site.save(SITE, overwrite=True)

    # ---- faults ----

    def break_(self, fault: str, form: Form) -> None:
        self.ground.break_(fault, form)

    def force_alert(self, alert: str, severity: str, **labels: str) -> None:
        """Raises an alert at Alertmanager while nothing is wrong. The next test ends it."""
        # An alert of its own: for a quarter of an hour Prometheus goes on to say of a real one that it is resolved.
        forced = {"labels": {"alertname": alert, "severity": severity, "site": SITE, "forced": "yes", **labels}}
        self._forced.append(forced)
        self._post_alert(forced)

    def end_forced_alerts(self) -> None:
        """Ends the forced alerts, so that no later test sees them."""
        while self._forced:
            self._post_alert({**self._forced.pop(), "endsAt": datetime.now(UTC).isoformat()})

    def _post_alert(self, alert: dict[str, Any]) -> None:
        HTTP.post(f"{self.endpoints.alertmanager_url}/api/v2/alerts", json=[alert]).raise_for_status()

    def fail_at(self, point: str, act: str = "kill", nth: int = 1) -> None:
        """Lets the next process that reaches this fail point end or halt there, once."""
        self.fail_plan.write_text(json.dumps({"point": point, "nth": nth, "act": act}))

    @property
    def failed(self) -> bool:
        """Whether the planned fail point was reached."""
        return self.fail_plan.with_suffix(self.fail_plan.suffix + ".hit").exists()

    def wake_all(self) -> None:
        """Lets every process of this installation go on that a fail point halted."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ours = process.environ().get("RUNBOOKS_LEDGER") == self.at.ledger
                if ours and process.status() == psutil.STATUS_STOPPED:
                    process.send_signal(signal.SIGCONT)

    def bring_back(self) -> None:
        """Starts what an earlier test killed and, because it failed, did not start again."""
        self.wake_all()
        self.stack.start_server()
        self.stack.start_worker()
        self.stack.start_intake()
        self.stack.await_intake()

    @property
    def pause_file(self) -> Path:
        """The file that stops all automation of this installation."""
        return Path(self.stack.environment()["RUNBOOKS_PAUSE_FILE"])

    # ---- what happens ----

    def open_incident(self, alert: str = "") -> Incident | None:
        return next((i for i in self.ledger.incidents.still_open() if alert in ("", i.alert)), None)

    def incident(self, alert: str = "", seconds: float = 60) -> Incident:
        """The open incident, once an alarm has raised it."""
        return wait_for("an incident", lambda: self.open_incident(alert), seconds)

    def run_of(self, incident: Incident, seconds: float = 90, *, other_than: str = "") -> str:
        """The run that claimed the incident."""

        def claimed() -> str | None:
            found = self.ledger.incidents.get(incident.id)
            return found.claimed_by if found and found.claimed_by != other_than else None

        return wait_for("a run that claims the incident", claimed, seconds)

    def end_of(self, run: str, seconds: float = 180) -> tuple[RunRecord, Report]:
        """The run's record and report, once it has ended."""

        def ended() -> RunRecord | None:
            record = self.ledger.runs.get(run)
            return record if record and record.outcome else None

        record = wait_for("the end of the run", ended, seconds)
        return record, Report.model_validate(record.report)

    def state_of(self, run: str) -> tuple[str, str]:
        """The type and name of the run's state in Prefect."""
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run)).state
        return (state.type.value, state.name or "") if state else ("", "")

    def ended_in_prefect(self, run: str) -> tuple[str, str]:
        """The final state of the run in Prefect."""

        def final() -> tuple[str, str] | None:
            found = self.state_of(run)
            return found if found[0] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") else None

        return wait_for("the run's final state", final, 30)

    def start(self, deployment: str, **parameters: Any) -> str:
        """Starts a deployment by hand."""
        with get_client(sync_client=True) as client:
            found = client.read_deployment_by_name(f"{deployment}/{deployment}")
            return str(client.create_flow_run_from_deployment(found.id, parameters=parameters).id)

    # ---- the judges ----

    def writes(self, since: datetime, *, accepted: bool = False) -> list[AuditRecord]:
        """What our own account sent to the cluster and to the service since then; only what was carried out, if
        `accepted`: a write that carries an old version is refused there, and made anew on what is read then."""
        ours = [record for record in self.ground.audit(since) if record.user == "runbooks"]
        return [record for record in ours if record.accepted or not accepted]

    def calls(self, about: str = "") -> list[Any]:
        """What called somebody and has this in its summary, oldest first."""
        calls = [one.json() for one in self.pager.arrived]
        return [call for call in calls if call["event_action"] == "trigger" and about in call["payload"]["summary"]]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not (servers.find_prometheus() and servers.find_alertmanager()):
        reason = (
            "prometheus and prometheus-alertmanager are not installed: apt install prometheus prometheus-alertmanager"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("world")
    plan = folder / "failpoints"
    stack, ground = Stack(folder, {failpoint.VARIABLE: str(plan)}), Ground(folder / "lab")
    try:
        with stack.entered() as at, ThreadPoolExecutor(1) as pool, receiving() as pager:
            raising = pool.submit(
                ground.up, alert_webhook=at.webhook, rule_files=[write_practice_rules(folder / "rules")]
            )
            stack.start_server()
            stack.start_intake()
            stack.deploy()
            stack.start_worker()
            stack.await_intake()
            endpoints = raising.result()
            ledger = Ledger(at.ledger)
            pager.answers(202, '{"status": "success", "message": "Event processed", "dedup_key": "x"}')
            _pause_the_health_check()
            world = World(at, stack, ground, endpoints, ledger, pager, plan)
            world.save_site()
            yield world
            ledger.close()
    finally:
        ground.down()
        stack.stop()


def _pause_the_health_check() -> None:
    """It might be quicker than the alert whose way a test follows; tests that are about it start it themselves."""
    with get_client(sync_client=True) as client:
        client.pause_deployment(client.read_deployment_by_name("health-check/health-check").id)


@pytest.fixture
def healthy(world: World, request: pytest.FixtureRequest) -> World:
    """The world with nothing broken, no incident open, nothing claimed, and nobody called. Of the runbooks only the
    one that the module is about (`RUNBOOK`) may act."""
    world.bring_back()
    world.fail_plan.unlink(missing_ok=True)
    world.fail_plan.with_suffix(world.fail_plan.suffix + ".hit").unlink(missing_ok=True)
    world.end_forced_alerts()
    module = request.module
    world.watch_only(getattr(module, "RUNBOOK", "high_task_queue_depth"))
    world.ground.heal()
    wait_for("the last alert to be resolved", lambda: _quiet(world), 120)
    for holding in world.ledger.claims.holdings():
        world.ledger.claims.end([c.id for c in holding.claims], ClaimState.LEFT, "healed by the ground")
    world.pager.arrived.clear()
    return world


def _quiet(world: World) -> bool:
    """Whether no alert is on, no incident is open and no run is at work."""
    on = HTTP.get(f"{world.endpoints.alertmanager_url}/api/v2/alerts").json()
    alerts = [alert for alert in on if alert["labels"]["alertname"] != WATCHDOG]
    busy = [run for run in world.ledger.runs.latest(50) if run.ended_at is None]
    return not (alerts or busy or world.open_incident())


class Commands:
    """The command line in this process, which is quicker than a process for each command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[object, str, str]:
        """The exit code and what was printed to stdout and stderr."""
        self._monkeypatch.setattr(sys, "argv", ["runbooks", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    def answer(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(*arguments, "--json")[1])


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)
