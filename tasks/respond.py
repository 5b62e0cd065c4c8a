"""The one way through a runbook: diagnose, decide, mitigate, validate.

`respond` opens the case, lets the ladder be climbed (`tasks/ladder.py`), and sees to it that the run ends in order
(`tasks/conclude.py`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from prefect import State
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import BaseModel, ValidationError

from tasks import failpoint
from tasks.approval import note_answers
from tasks.cancellation import noting_cancellation
from tasks.case import USELESS, Case
from tasks.conclude import conclude
from tasks.cut_off import cut_off
from tasks.escalate import call_who_is_due
from tasks.facts import LiveFacts
from tasks.heartbeat import beating
from tasks.installation import WrongLedger, same_ledger
from tasks.ladder import Ending, climb
from tasks.ledger import ChangeState, Ledger, LedgerUnavailable, RunRecord
from tasks.model.outcome import Outcome, Trust
from tasks.platform import Platform
from tasks.runbook import Runbook
from tasks.settings import settings
from tasks.sites import SiteBroken, SiteNotFound, load_site, misfit
from tasks.systems.prefect import get_client
from tasks.version import code_version

P = TypeVar("P", bound=Platform)
F = TypeVar("F")

BAD_INPUT = "BadInput"
_NOT_MADE = (ChangeState.REFUSED, ChangeState.NOT_NEEDED)


@dataclass(frozen=True, slots=True)
class Request:
    """What a run was started with. `trust` may only lower what the site's block allows."""

    site: str
    incident: str | None = None
    trust: Trust | None = None
    numbers: BaseModel | None = None


def respond(runbook: Runbook[P, F], request: Request) -> State[Any]:
    """Runs the runbook at a site and returns the final Prefect state.

    `numbers` are the run's own values for settings of the block; those that are None leave the block's. Bad input ends
    the run as failed with one sentence, before anything is looked at.
    """
    try:
        platform = override(load_site(runbook.platform, request.site), runbook.id, request.numbers)
    except (SiteBroken, SiteNotFound) as error:
        return Failed(name=BAD_INPUT, message=str(error))
    except ValidationError as error:
        return Failed(name=BAD_INPUT, message=f"the numbers do not fit: {misfit(error)}")
    ledger, broken = _open_ledger()
    try:
        if request.incident and not broken and ledger.incidents.get(request.incident) is None:
            return Failed(
                name=BAD_INPUT, message=f"the ledger has no incident {request.incident!r}: see `runbooks status`"
            )
        return _run(open_case(runbook, platform, ledger, request, broken), broken)
    finally:
        ledger.close()


def _run(case: Case[P, F], broken: str) -> State[Any]:
    try:
        return _work(case, broken)
    except LedgerUnavailable as lost:
        return cut_off(case, lost)


def _work(case: Case[P, F], broken: str) -> State[Any]:
    if case.incident and not case.ledger.incidents.claim(case.incident.id, case.run_id):
        return conclude(case, Ending(Outcome.STEPPED_ASIDE, "another run has this incident"))
    failpoint.reach("claimed")
    with noting_cancellation(case.ledger, case.run_id), beating(case.ledger, case.facts, case.lease), case.at_work():
        if case.incident and case.incident.taken_by:
            ending = Ending(Outcome.STEPPED_ASIDE, f"{case.incident.taken_by} has this incident")
        else:
            _call(case)
            ending = climb(case)
        if broken and ending.outcome is not Outcome.NOTHING_TO_DO:
            ending = Ending(Outcome.REFUSED, f"no change is made without a ledger: {broken}", ending.gate)
        return conclude(case, ending)


def _call(case: Case[P, F]) -> None:
    """Whoever has to be called by now: where the response time is zero, that is at once."""
    if case.incident is not None and case.runbook.respond_within.total_seconds() == 0:
        incident = case.incident
        told = case.follow(
            "escalate",
            "escalate: respond immediately",
            lambda: call_who_is_due(case.ledger, case.platform, case.runbook, incident, datetime.now(UTC)),
        )
        for line in told:
            case.note("called", line)


def override(platform: P, runbook: str, numbers: BaseModel | None) -> P:
    """The platform with this run's own numbers for the runbook in place of the site's."""
    own = numbers.model_dump(exclude_none=True) if numbers else {}
    if not own:
        return platform
    section = getattr(platform, runbook)
    checked = type(section).model_validate({**section.model_dump(), **own})
    return platform.model_copy(update={runbook: checked})


def _open_ledger() -> tuple[Ledger, str]:
    """The ledger, or one in memory with the reason why: the diagnosis runs in any case."""
    try:
        ledger = Ledger(settings().ledger)
        same_ledger(ledger)
    except (LedgerUnavailable, WrongLedger) as error:
        return Ledger("sqlite://"), str(error)
    return ledger, ""


def open_case(runbook: Runbook[P, F], platform: P, ledger: Ledger, request: Request, broken: str = "") -> Case[P, F]:
    """The case of this run, written to the ledger. A run that is executed again goes on with what it had written."""
    why = ledger.incidents.get(request.incident) if request.incident else None
    level = Trust.OBSERVE if broken else _trust(platform.trust_in(runbook.id), request.trust)
    run = str(flow_run.id or uuid.uuid4())
    incident = why.id if why else None
    case = Case(
        runbook=runbook,
        platform=platform,
        site=request.site,
        ledger=ledger,
        run_id=run,
        incident=why,
        allowed=platform.allowed(level),
        facts=LiveFacts(ledger, request.site, run, incident, platform.limits.cooldown),
        deployed=_deployed,
        started_at=datetime.now(UTC),
    )
    note_answers(ledger, run)
    ledger.runs.begin(
        RunRecord(
            id=run,
            runbook=runbook.id,
            site=request.site,
            incident=incident,
            severity=runbook.severity,
            trust=level.value,
            code_version=code_version(),
            started_at=case.started_at,
        )
    )
    # Prefect may execute a run again while an earlier process of it still lives: that one has lost its locks now, and
    # writes nothing any more.
    ledger.locks.release(run)
    earlier = ledger.runs.get(run)
    if earlier is not None:
        case.started_at = earlier.started_at
    case.useless = [note.text for note in ledger.runs.notes(run) if note.kind == USELESS]
    case.changed = any(c.state not in _NOT_MADE for c in ledger.changes.of_run(run))
    return case


def _deployed() -> frozenset[str]:
    """The ids of the runbooks that are deployed at this Prefect server.

    Where it cannot be asked, none: the run then goes on itself, and changes nothing while Prefect is away.
    """
    try:
        with get_client(sync_client=True) as client:
            return frozenset(deployment.name.replace("-", "_") for deployment in client.read_deployments())
    except httpx.HTTPError:
        return frozenset()


def _trust(allowed: Trust, asked: Trust | None) -> Trust:
    """The trust level of a run: it may ask for less than the site allows, never for more."""
    order = list(Trust)
    return min(allowed, asked or allowed, key=order.index)
