"""The demo: breaks the practice ground and lets a person watch how the alert starts the runbook that heals it.

`./dev demo` calls it. Everything it starts it ends again, unless told `--keep`.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import cyclopts
from cyclopts import Parameter
from rich.markup import escape

from deployments.cli.output import Exit, err, exit_code, out, print_markdown
from deployments.cli.runs import follow
from deployments.practice import SITE, only, practice_site, write_practice_rules
from deployments.stack import Addresses, Stack, StackError
from flows.checks.health_check import health_check
from lab.ground import Ground
from lab.model import Endpoints, Form, GroundError
from tasks.ledger import Ledger
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome
from tasks.report import Report, markdown
from tasks.settings import data_folder
from tasks.systems.prefect import get_client

FAULT, RUNBOOK = "queue-overload", "high_task_queue_depth"
_PATIENCE = 90.0


class Clock:
    """Tells what happens, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, line: str, style: str = "") -> None:
        text = escape(line)
        out.print(f"[dim]{self.seconds:6.1f} s[/dim]  " + (f"[{style}]{text}[/{style}]" if style else text))


def demo(
    *,
    form: Annotated[Form, Parameter(help="How hard the fault is to cure.")] = Form.CURABLE_AT_ONCE,
    keep: Annotated[bool, Parameter(help="Leave everything running at the end.", negative=())] = False,
    state: Annotated[Path | None, Parameter(help="Folder for everything.", show_default=False)] = None,
) -> int:
    """Break the practice ground and watch a runbook heal it.

    The exit code is that of the run: 0 when the system recovered.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, everything is still taken down
    if form is Form.HEALTHY:
        err.print("[red]error:[/red] nothing would happen: choose a form in which something is broken")
        return Exit.USAGE
    clock, folder = Clock(), (state or data_folder() / "demo").resolve()
    ground, stack = Ground(folder / "lab"), Stack(folder)
    try:
        with stack.entered() as at:
            endpoints = bring_up(clock, stack, ground, folder)
            outcome = show(clock, at, ground, endpoints, form)
        if keep:
            _tell_kept(folder, stack, at, endpoints)
        return exit_code(outcome)
    except (StackError, GroundError) as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        return Exit.USAGE
    except KeyboardInterrupt:
        err.print("interrupted")
        return 130
    finally:
        if not keep:
            clock.say("stopping everything")
            ground.down()
            stack.stop()
            shutil.rmtree(folder, ignore_errors=True)


def bring_up(clock: Clock, stack: Stack, ground: Ground, folder: Path) -> Endpoints:
    """Starts installation and practice ground side by side, and makes the ground known as a site.

    Raises:
        StackError, GroundError: something does not start.
    """
    at = stack.addresses
    clock.say("starting a Prefect server, and a small Kubernetes with the message bus on it")
    with ThreadPoolExecutor(1) as pool:
        rules = write_practice_rules(folder / "rules")
        raising = pool.submit(
            ground.up,
            alert_webhook=at.webhook,
            rule_files=[rules],
            progress=lambda line: clock.say(f"  ground: {line}"),
        )
        stack.start_server()
        clock.say(f"  Prefect is up: {at.prefect}")
        stack.start_intake()
        stack.deploy()
        clock.say("  runbooks are deployed, each with the trigger that its incident fires")
        stack.start_worker()
        stack.await_intake()
        clock.say("  worker and alert intake are up")
        endpoints = raising.result()
    if ground.status().fault:
        clock.say("healing what an earlier demo left broken")
        ground.heal()
    practice_site(endpoints).model_copy(update=only(RUNBOOK)).save(SITE, overwrite=True)
    if endpoints.alertmanager_url is None:
        clock.say("  Prometheus and Alertmanager are not installed: the health check is the alarm")
    return endpoints


def show(clock: Clock, at: Addresses, ground: Ground, endpoints: Endpoints, form: Form) -> Outcome:
    """Breaks the ground, follows the run that this starts, and prints its report."""
    fault = ground.break_(FAULT, form)
    clock.say(f"BROKEN: {FAULT}, {form.value}", "bold red")
    clock.say(f"  {fault.symptoms}")
    ledger = Ledger(at.ledger)
    try:
        with _watching(clock, ground):
            incident = _await_incident(clock, ledger, _Alarm(endpoints))
        clock.say(f"ALERT: {incident.summary}", "bold yellow")
        clock.say(
            f"  raised by {incident.raiser.value}; incident {incident.id[:8]} is in the ledger, its event is sent"
        )
        run = _await_claim(ledger, incident.id)
        clock.say(f"RUN {run[:8]} has the incident: {at.run_page(run)}", "bold")
        for note in follow(ledger, run):
            clock.say(f"  {note.kind}: {note.text}")
        record = ledger.runs.get(run)
    finally:
        ledger.close()
    if record is None or record.report is None:
        raise StackError(f"the run ended without a report: see {at.run_page(run)}")
    report = Report.model_validate(record.report)
    out.print()
    print_markdown(markdown(report, picture=False, timeline=False))
    good = report.outcome.state_type == "COMPLETED"
    clock.say(f"{report.outcome.value}: {report.verdict}", "bold green" if good else "bold red")
    clock.say(f"The run in the Prefect UI: {at.run_page(run)}")
    return report.outcome


@contextmanager
def _watching(clock: Clock, ground: Ground) -> Iterator[None]:
    """Tells the queue's depth every other second while something else is awaited."""
    done = False

    def watch() -> None:
        while not done:
            status = ground.status()
            if status.queue_depth is not None and status.utilisation is not None:
                clock.say(f"  {status.queue_depth} tasks waiting, {status.utilisation:.0%} of the workers busy")
            time.sleep(2)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            done = True
            watching.result()


def _await_incident(clock: Clock, ledger: Ledger, alarm: _Alarm) -> Incident:
    deadline = clock.seconds + _PATIENCE
    while clock.seconds < deadline:
        for incident in ledger.incidents.latest():
            if incident.resolved_at is None and incident.runbook == RUNBOOK:
                return incident
        alarm.nudge()
        time.sleep(0.2)
    raise StackError(f"no alert arrived within {_PATIENCE:.0f} s")


def _await_claim(ledger: Ledger, id: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        incident = ledger.incidents.get(id)
        if incident is not None and incident.claimed_by:
            return incident.claimed_by
        time.sleep(0.2)
    raise StackError(f"no run took the incident within {_PATIENCE:.0f} s")


class _Alarm:
    """What raises the incident: Alertmanager, or the health check, which then runs more often than scheduled."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._checks = endpoints.alertmanager_url is None
        self._running: UUID | None = None

    def nudge(self) -> None:
        """Starts the next health check when the last one has ended, where there is no Alertmanager."""
        if not self._checks:
            return
        with get_client(sync_client=True) as client:
            if self._running is not None:
                state = client.read_flow_run(self._running).state
                if state is None or not state.is_final():
                    return
            deployment = client.read_deployment_by_name(f"{health_check.name}/{health_check.name}")
            self._running = client.create_flow_run_from_deployment(deployment.id).id


def _tell_kept(folder: Path, stack: Stack, at: Addresses, endpoints: Endpoints) -> None:
    script = folder / "environment.sh"
    lines = [f"export {key}='{value}'" for key, value in stack.environment().items()]
    script.touch(mode=0o600)
    script.write_text("\n".join([*lines, f"export KUBECONFIG='{endpoints.kubeconfig}'", ""]))
    out.print(f"\nEverything is still running. The Prefect UI: {at.prefect}")
    out.print(f"To use it from a shell:  source {script}", markup=False)
    out.print(
        "  then e.g.:  runbooks status · runbooks lab status --state "
        f"{folder / 'lab'} · kubectl -n {endpoints.namespace} get pods",
        markup=False,
    )
    out.print(f"To stop it:  ./dev demo-stop{'' if folder == (data_folder() / 'demo') else f' --state {folder}'}")


def stop(*, state: Annotated[Path | None, Parameter(help="Folder of the demo.", show_default=False)] = None) -> int:
    """Stop a demo that was kept."""
    folder = (state or data_folder() / "demo").resolve()
    if not folder.exists():
        out.print("No demo is running.")
        return Exit.FINE
    Ground(folder / "lab").down()
    Stack(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)
    out.print("The demo is stopped.")
    return Exit.FINE


if __name__ == "__main__":
    app = cyclopts.App(name="./dev demo", result_action="return_value", version_flags=[])
    app.default(demo)
    app.command(stop)
    sys.exit(int(app() or 0))
