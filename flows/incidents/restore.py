"""Restore: gives back what runbooks changed for a while, when the documents' conditions hold.

Started by the alert intake when there is something to give back, on a schedule in case there is no intake, and by hand
(`runbooks restore`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.catalogue import PLATFORMS, RUNBOOKS
from flows.parameters import Site, shown
from tasks.cancellation import noting_cancellation
from tasks.conclude import final_state
from tasks.installation import same_ledger
from tasks.ledger import Ledger, RunRecord
from tasks.model.outcome import Outcome, Severity, Trust
from tasks.restore import Fate, Told, groups, report, restore_group, still_going_on
from tasks.settings import settings
from tasks.sites import Site as SavedSite
from tasks.sites import all_sites
from tasks.version import code_version

INTERVAL = timedelta(minutes=5)
NAME = "restore"


@flow(name=NAME, flow_run_name="restore: {site}", description=__doc__)
def restore(
    site: Site = "",
    force: Annotated[
        bool,
        shown("Without condition", "Give back now, whatever the queue says. Guards are asked in any case."),
    ] = False,
) -> State[Any]:
    """Gives back what is not needed any more, at one site or at all."""
    ledger = Ledger(settings().ledger)
    try:
        same_ledger(ledger)
        told: list[Told] = []
        for found in all_sites(PLATFORMS.values()):
            if site in ("", found.name):
                told += restore_site(ledger, found, force=force)
        return final_state(outcome(told), verdict(told))
    finally:
        ledger.close()


def restore_site(ledger: Ledger, site: SavedSite, *, force: bool) -> list[Told]:
    """Gives back what is not needed any more at a site, as one run of the ledger."""
    waiting = groups(ledger, RUNBOOKS, site.name)
    if not waiting:
        return []
    run = str(flow_run.id)
    begun = datetime.now(UTC)
    ledger.runs.begin(RunRecord(run, NAME, site.name, None, Severity.INFO, Trust.ACT.value, code_version(), begun))
    told: list[Told] = []
    with noting_cancellation(ledger, run):
        for group in waiting:
            why = "" if force else still_going_on(ledger, RUNBOOKS, site, group)
            if why:
                told += [Told(Fate.KEPT, f"{c.field} of {c.target}, {c.claim}", why) for c in group.claims]
            else:
                told += restore_group(ledger, run, site, group, force=force)
    ledger.runs.end(run, outcome(told), verdict(told), None)
    create_markdown_artifact(key=f"{NAME}-{site.name}".lower().replace("_", "-"), markdown=report(site.name, told))
    return told


def verdict(told: Sequence[Told]) -> str:
    """What came of a restore, in one sentence."""
    return "; ".join(f"{line.fate}: {line.what}" for line in told) or "nothing is left to give back"


def outcome(told: Sequence[Told]) -> Outcome:
    """How a restore ends: it fails where something should have been given back and was not."""
    fates = {line.fate for line in told}
    if Fate.NOT_DONE in fates:
        return Outcome.NOT_GIVEN_BACK
    return Outcome.STILL_NEEDED if Fate.KEPT in fates or Fate.RELAXED in fates else Outcome.GIVEN_BACK
