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
from prefect.states import Failed

from flows.catalogue import PLATFORMS, RUNBOOKS
from flows.parameters import Site, shown
from tasks.cancellation import noting_cancellation
from tasks.conclude import final_state
from tasks.installation import NO_LEDGER, WrongLedger, our_ledger
from tasks.ledger import Ledger, LedgerUnavailable, RunRecord
from tasks.model.outcome import Outcome, Severity, Trust
from tasks.respond import BAD_INPUT
from tasks.restore import Fate, Told, groups, report, restore_group, still_going_on
from tasks.sites import Site as SavedSite
from tasks.sites import SiteBroken, SiteNotFound, choose
from tasks.version import code_version

INTERVAL = timedelta(minutes=5)
AT_ONCE = 3  # restores that the watch has at work; the deployment's limit leaves room for the schedule's
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
    try:
        saved = choose(PLATFORMS.values(), site)
        with our_ledger() as ledger:
            told = [line for found in saved.sites for line in restore_site(ledger, found, force=force)]
    except (SiteNotFound, SiteBroken) as error:
        return Failed(name=BAD_INPUT, message=str(error))
    except (LedgerUnavailable, WrongLedger) as error:
        return Failed(name=NO_LEDGER, message=str(error))
    told += [Told(Fate.NOT_DONE, "everything there", why) for why in saved.broken.values()]
    return final_state(outcome(told), verdict(told))


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
    """What came of a restore, in one sentence, and why what was not given back was not."""
    said = (f"{line.fate}: {line.what}" + (f" ({line.why})" if line.fate is Fate.NOT_DONE else "") for line in told)
    return "; ".join(said) or "nothing is left to give back"


def outcome(told: Sequence[Told]) -> Outcome:
    """How a restore ends: it fails where something should have been given back and was not."""
    fates = {line.fate for line in told}
    if Fate.NOT_DONE in fates:
        return Outcome.NOT_GIVEN_BACK
    return Outcome.STILL_NEEDED if Fate.KEPT in fates or Fate.RELAXED in fates else Outcome.GIVEN_BACK
