"""`runbooks plan`, `run` and `status`: runs, as they are made and as the ledger has them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from cyclopts import Parameter
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging.configuration import setup_logging
from prefect.settings import get_current_settings

from deployments.cli.installation import our_ledger, require_server
from deployments.cli.output import Exit, Json, UserError, err, exit_code, out, print_json, print_markdown, print_table
from deployments.cli.show import deployment, find
from flows.catalogue import FLOWS
from flows.parameters import HowFar
from tasks.ledger import Ledger, Note, RunRecord
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome
from tasks.report import Report, markdown
from tasks.settings import settings
from tasks.sites import load_site
from tasks.systems.prefect import get_client

_POLL = 0.3

SiteName = Annotated[str, Parameter(help="The saved site, see `runbooks sites`.")]


def plan(runbook: str, *, site: SiteName, json: Json = False) -> int:
    """Show what a runbook would do right now: live reads, the exact change per target, no write.

    Args:
        runbook: Its id, e.g. high_task_queue_depth.
    """
    found = find(runbook)
    require_server()
    load_site(found.platform, site)
    # The report says it all; the run's log is in the UI.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    setup_logging()
    state: Any = FLOWS[found.id](site=site, trust=HowFar.PLAN, return_state=True)
    record = _record(str(state.state_details.flow_run_id))
    if record is None or record.report is None:
        raise UserError(f"the plan could not be made: {state.message}")
    return _print_report(record, json=json)


def run(
    runbook: str,
    *,
    site: SiteName,
    trust: Annotated[HowFar, Parameter(help="How far to go.")] = HowFar.AS_THE_SITE_SAYS,
    detach: Annotated[bool, Parameter(help="Start the run and do not follow it.", negative=())] = False,
    json: Json = False,
) -> int:
    """Start a runbook by hand and follow it to its end.

    The exit code is 0 when the system is healthy or recovered, 1 when it is not, 3 when nothing was done on purpose.

    Args:
        runbook: Its id, e.g. high_task_queue_depth.
    """
    found = find(runbook)
    require_server()
    load_site(found.platform, site)
    parameters: dict[str, Any] = {"site": site, "trust": trust}
    with our_ledger() as ledger:
        try:
            started: Any = run_deployment(deployment(found), parameters=parameters, timeout=0)
        except ObjectNotFound:
            raise UserError(f"{deployment(found)} is not deployed: run `prefect --no-prompt deploy --all`") from None
        id = str(started.id)
        if detach:
            print_json({"run": id}) if json else out.print(f"started run {id}")
            return Exit.FINE
        if not json:
            err.print(f"run {id[:8]} started: {_page(id)}")
        for note in follow(ledger, id):
            if not json:
                err.print(f"{note.at:%H:%M:%S}  {note.kind}: {note.text}", markup=False)
        record = ledger.runs.get(id)
    if record is None or (record.report is None and record.outcome is None):
        return _print_end(id, json=json)
    return _print_report(record, json=json, timeline=False)


def follow(ledger: Ledger, id: str) -> Iterator[Note]:
    """The timeline of a run as it grows, until the run has ended."""
    told, ended = 0, False
    while True:
        notes = ledger.runs.notes(id)
        yield from notes[told:]
        told = len(notes)
        if ended:
            return
        state = _state(id)
        ended = state is not None and state.is_final()
        if not ended:
            time.sleep(_POLL)


def status(run: str | None = None, *, json: Json = False) -> int:
    """Show the latest incidents and runs, or one run with its report.

    Args:
        run: The run's id, or its beginning.
    """
    with our_ledger() as ledger:
        if run is not None:
            record = ledger.runs.get(run)
            if record is None:
                raise UserError(
                    f"the ledger has no run {run!r}, or more than one that begins so: see `runbooks status`"
                )
            return _print_report(record, json=json)
        incidents, runs, pauses = ledger.incidents.latest(), ledger.runs.latest(), ledger.pauses.all()
        held_back = [stray for stray in ledger.strays.firing() if stray.held_back]
    if json:
        shown = {"incidents": incidents, "runs": [_summary(record) for record in runs]}
        print_json({**shown, "paused": pauses, "held_back": held_back})
        return Exit.FINE
    for pause in pauses:
        out.print(f"PAUSED: {pause.site or 'everywhere'}, by {pause.by}: {pause.reason}\n", markup=False)
    for stray in held_back:
        out.print(f"{stray.alert} is {stray.why}\n", markup=False)
    print_table(
        ("incident", "alert", "site", "raised by", "since (UTC)", "state"),
        [
            (
                i.id[:8],
                i.alert,
                i.site,
                i.raiser.value,
                f"{i.started_at:%m-%d %H:%M:%S}",
                _stands(i),
            )
            for i in incidents
        ],
        empty="No incidents.",
    )
    out.print()
    print_table(
        ("run", "runbook", "site", "started (UTC)", "outcome", "verdict"),
        [
            (
                r.id[:8],
                r.runbook,
                r.site,
                f"{r.started_at:%m-%d %H:%M:%S}",
                _how(r),
                r.verdict or "",
            )
            for r in runs
        ],
        empty="No runs.",
    )
    return Exit.FINE


def _print_end(id: str, *, json: bool) -> int:
    """How a run ended of which the ledger does not know it (yet): it died, or never began."""
    state = _state(id)
    name, message = (state.name, state.message) if state else ("not begun", None)
    if json:
        print_json({"run": id, "state": name, "message": message})
    else:
        said = f"{name}: {message}" if message else name
        out.print(f"run {id[:8]} ended without a report: {said}; see {_page(id)}", markup=False)
    return Exit.CALLED_OFF if state is not None and state.is_cancelled() else Exit.FAILED


def _print_report(record: RunRecord, *, json: bool, timeline: bool = True) -> int:
    if record.report is None:
        if json:
            print_json(_summary(record))
        else:  # it has not ended, it died, or it is one of the runs that write no report of this kind
            said = f": {record.verdict}" if record.verdict else ""
            out.print(f"run {record.id[:8]} of {record.runbook} at {record.site}: {_how(record)}{said}", markup=False)
        if record.crashed:
            return Exit.FAILED
        return exit_code(record.outcome) if record.outcome else Exit.FINE
    report = Report.model_validate(record.report)
    if json:
        print_json(report)
    else:
        print_markdown(markdown(report, picture=False, timeline=timeline))
        out.print(_page(record.id))
    return exit_code(Outcome(report.outcome))


def _stands(incident: Incident) -> str:
    """How an incident stands."""
    if incident.resolved_at:
        return "resolved"
    if incident.taken_by:
        return f"open, {incident.taken_by} has it"
    return f"open, run {incident.claimed_by[:8]}" if incident.claimed_by else "open, unclaimed"


def _how(record: RunRecord) -> str:
    """How a run ended, or that it has not."""
    if record.outcome:
        return record.outcome.value
    if record.crashed:
        return "crashed"
    return f"waits for the answer to plan {record.waits_for}" if record.waits_for else "running"


def _summary(record: RunRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "report"}


def _record(id: str) -> RunRecord | None:
    ledger = Ledger(settings().ledger)
    try:
        return ledger.runs.get(id)
    finally:
        ledger.close()


def _state(id: str) -> State[Any] | None:
    """The state of a run in Prefect."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(id)).state


def _page(id: str) -> str:
    base = get_current_settings().ui_url or (get_current_settings().api.url or "").removesuffix("/api")
    return f"{base}/runs/flow-run/{id}"
