"""The aftermath of a run that failed or died: its incident is picked up once, or a person is called.

Two ways lead here: the watch beside Prefect, which finds runs that give no sign of life, and the flow `escalate`, which
Prefect's automations start also where no watch runs. Both may come, in any order, at once and again: each looks at what
the ledger says, and does only what is still missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tasks.escalate import NOBODY, Matter, call_for_failed_gate, tell, was_called
from tasks.incidents import start_run
from tasks.ledger import Ledger, RunRecord
from tasks.model.escalation import NoticeKind
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Trust
from tasks.runbook import AnyRunbook
from tasks.sites import Site

PICKUPS = 1  # so often a crashed run's incident is given to another run; then a person has to look


class Fate(StrEnum):
    """What came of looking after a run; the value is the name of the Prefect state."""

    PICKED_UP = "PickedUp"
    CALLED = "Called"
    CALLED_BEFORE = "CalledBefore"
    NOT_NEEDED = "NotNeeded"
    LIVES = "Lives"
    NOT_YET = "NotYet"
    NOBODY_CALLED = "NobodyCalled"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What came of looking after a run, in a word and in a sentence."""

    fate: Fate
    text: str


def look_after(ledger: Ledger, runbook: AnyRunbook, site: Site, run: RunRecord, since: datetime) -> Aftermath:
    """Does what is still missing after a run of which Prefect says that it failed or crashed.

    What Prefect says is taken for a hint: a run is dead when it gave the ledger no sign of life for two leases, because
    only then it is sure that it writes nothing any more. `NOT_YET` asks to be called again; `since` is when that began,
    by the ledger's clock.
    """
    if run.ended_at is None:
        seen = run.seen_at or run.started_at
        if seen > since:
            return Aftermath(Fate.LIVES, "it goes on giving signs of life: nothing was done")
        if ledger.now() - seen <= 2 * site.platform.pace.lease:
            return Aftermath(Fate.NOT_YET, f"its last sign of life was at {seen:%H:%M:%S} UTC: it may still act")
    if run.ended_at is None or run.crashed:
        return after_death(ledger, runbook, site, run)
    if run.outcome is None or run.outcome.state_type != "FAILED":
        return Aftermath(Fate.NOT_NEEDED, f"it ended as {run.outcome}")
    return _after_failed_gate(ledger, runbook, site, run, run.outcome)


def bury(ledger: Ledger, runbook: AnyRunbook | None, site: Site, run: RunRecord) -> str:
    """Frees what a dead run holds: its incident for one more run, if there was none yet, and its locks. Where no other
    run goes on with it, a person is called: says what came of that."""
    incident = _incident(ledger, run)
    if incident is not None and run.ended_at is None:
        ledger.incidents.claim(incident.id, run.id)  # it may have died before it could do so itself
    picked_up = (
        incident is not None
        and incident.pickups < PICKUPS
        and incident.resolved_at is None
        and ledger.incidents.pick_up(incident.id, run.id)
    )
    if incident is not None and picked_up:
        ledger.incidents.announced(incident.id, ledger.now())  # the next run has the usual time to claim it
    ledger.runs.crashed(run.id)
    ledger.locks.release(run.id)
    return call_about_death(ledger, runbook, site, run) if runbook else ""


def call_about_death(ledger: Ledger, runbook: AnyRunbook, site: Site, run: RunRecord) -> str:
    """Calls a person about a dead run that no other one goes on with, unless somebody was reached; says what came of
    it."""
    matter = _matter(runbook, run)
    if not _is_left(run, _incident(ledger, run)) or was_called(ledger, site.platform, matter, NoticeKind.CRASHED):
        return ""
    changes = "; ".join(f"{c.target}: {c.state}" for c in ledger.changes.of_run(run.id)) or "none"
    summary = f"the run {run.id[:8]} ended without a word, and is not started again: look what it left"
    level = runbook.ladder.level(1)
    return tell(ledger, site.platform, matter, NoticeKind.CRASHED, level, summary, ledger.now(), {"changes": changes})


def after_death(ledger: Ledger, runbook: AnyRunbook, site: Site, run: RunRecord) -> Aftermath:
    """Buries a run that is certainly dead, and starts the one that goes on with its incident."""
    before = was_called(ledger, site.platform, _matter(runbook, run), NoticeKind.CRASHED)
    told = bury(ledger, runbook, site, run)
    incident = _incident(ledger, run)
    if incident is None or _is_left(run, incident):
        return _call(ledger, site, _matter(runbook, run), before, told, NoticeKind.CRASHED)
    if incident.claimed_by:
        return Aftermath(Fate.NOT_NEEDED, f"the run {incident.claimed_by[:8]} has its incident")
    if incident.taken_by or incident.resolved_at:
        return Aftermath(Fate.NOT_NEEDED, f"{incident.taken_by} has it" if incident.taken_by else "its alert is over")
    # The watch starts it with the same key: whoever is first.
    key = f"{incident.id}:{incident.pickups}:0"
    started = start_run(runbook.slug, {"site": incident.site, "incident": incident.id}, key)
    return Aftermath(Fate.PICKED_UP, f"the run {started[:8]} goes on with its incident")


def after_no_beginning(ledger: Ledger, runbook: AnyRunbook, site: Site, run: str, incident: Incident) -> Aftermath:
    """The same for a run that ended before it could write itself down; `incident` is what it was started for."""
    if incident.resolved_at or incident.claimed_by:
        return Aftermath(Fate.NOT_NEEDED, "it ended before it began, and its incident does not wait for it")
    now, trust = ledger.now(), Trust.OBSERVE.value
    record = RunRecord(run, runbook.id, incident.site, incident.id, runbook.severity, trust, "unknown", now)
    ledger.runs.begin(record)
    return after_death(ledger, runbook, site, record)


def _after_failed_gate(ledger: Ledger, runbook: AnyRunbook, site: Site, run: RunRecord, outcome: Outcome) -> Aftermath:
    incident, matter = _incident(ledger, run), _matter(runbook, run)
    kinds = (NoticeKind.GATE_FAILED, NoticeKind.EFFECT_UNKNOWN)
    if was_called(ledger, site.platform, matter, *kinds):
        return _call(ledger, site, matter, True, "", *kinds)
    if incident is not None and incident.taken_by:
        return Aftermath(Fate.NOT_NEEDED, f"{incident.taken_by} has it")
    told = call_for_failed_gate(ledger, site.platform, matter, outcome, run.verdict or "", incident, ledger.now())
    return _call(ledger, site, matter, False, told, *kinds)


def _call(ledger: Ledger, site: Site, matter: Matter, before: bool, told: str, *kinds: NoticeKind) -> Aftermath:
    """What came of calling a person."""
    if before:
        return Aftermath(Fate.CALLED_BEFORE, "a person was called already")
    if was_called(ledger, site.platform, matter, *kinds):
        return Aftermath(Fate.CALLED, told)
    # Whoever has the turn to call may have died with it: it is given again after a minute.
    return Aftermath(Fate.NOBODY_CALLED if NOBODY in told else Fate.NOT_YET, told)


def _is_left(run: RunRecord, incident: Incident | None) -> bool:
    """Whether nobody goes on with what a dead run had in hand."""
    return incident is None or incident.claimed_by == run.id


def _incident(ledger: Ledger, run: RunRecord) -> Incident | None:
    return ledger.incidents.get(run.incident) if run.incident else None


def _matter(runbook: AnyRunbook, run: RunRecord) -> Matter:
    return Matter(run.site, runbook, run.severity, run.incident or "", run.id)
