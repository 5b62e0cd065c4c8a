"""The health check: looks at every site's limits on a schedule and raises the incidents that alerts would raise.

So a site without Alertmanager is served too, and next to one the incidents are the same: whoever is first opens it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import State, Task, flow
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.catalogue import PLATFORMS, RUNBOOKS
from flows.parameters import shown
from tasks.explained import Ringing, explaining, why_held_back
from tasks.incidents import new_incident, raise_incident
from tasks.installation import NO_LEDGER, WrongLedger, our_ledger
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.model.evidence import not_stale
from tasks.model.incident import Raiser
from tasks.respond import BAD_INPUT
from tasks.runbook import AnyRunbook
from tasks.sites import Site, SiteBroken, SiteNotFound, choose
from tasks.systems.errors import explain

INTERVAL = timedelta(minutes=1)
WAIT_AT_MOST = timedelta(seconds=10)  # when no more than this is missing, the same check looks once more
GAP = 3 * INTERVAL  # two looks further apart than this say nothing about the time between


@dataclass(frozen=True, slots=True)
class Check:
    """What one look at one limit showed."""

    runbook: str
    site: str
    broken: bool | None
    text: str


@flow(name="health-check", flow_run_name="health check: {site}", description=__doc__)
def health_check(
    site: Annotated[str, shown("Site", "Only this site. Empty: all saved sites of all platforms.")] = "",
) -> State[Any]:
    """Looks at every limit of every site once, and raises an incident where one is broken for long enough."""
    try:
        saved = choose(PLATFORMS.values(), site)
        with our_ledger() as ledger:
            checks = [
                _check(ledger, runbook, found)
                for found in saved.sites
                for runbook in RUNBOOKS.values()
                if isinstance(found.platform, runbook.platform)
            ]
    except (SiteNotFound, SiteBroken) as error:
        return Failed(name=BAD_INPUT, message=str(error))
    except (LedgerUnavailable, WrongLedger) as error:
        return Failed(name=NO_LEDGER, message=str(error))
    return conclude([*checks, *(Check("everything", "a site", None, why) for why in saved.broken.values())])


def _check(ledger: Ledger, runbook: AnyRunbook, site: Site) -> Check:
    """One limit at one site, as a task of the run that fails when the limit cannot be told."""

    def look() -> Check | State[Check]:
        check = look_at(ledger, runbook, site, datetime.now(UTC))
        get_run_logger().info("%s at %s: %s", runbook.title, site.name, check.text)
        return check

    piece: Any = Task(look, name="check", task_run_name=f"check: {runbook.title} at {site.name}", persist_result=False)
    check: Check = piece()
    return check


def look_at(ledger: Ledger, runbook: AnyRunbook, site: Site, now: datetime) -> Check:
    """Reads the runbook's limit. Broken for the document's time, it raises the incident; kept, it closes the one that
    a health check had raised."""
    trigger = runbook.trigger(site.platform)
    try:
        reading = not_stale(site.platform.metrics().ask(trigger.question), site.platform.pace.stale_after)
    except Exception as error:  # a limit that cannot be read is reported as such, never as kept
        return Check(runbook.id, site.name, None, f"cannot be told: {explain(error)}")
    shown_value = trigger.broken.show(reading.value)
    if not trigger.broken.holds(reading.value):
        ledger.breaches.clear(site.name, runbook.id)
        _close(ledger, site, runbook.alert, now)
        return Check(runbook.id, site.name, False, f"fine: {shown_value}")
    since = ledger.breaches.note(site.name, runbook.id, now, GAP)
    left = trigger.hold - (now - since)
    if timedelta(0) < left <= WAIT_AT_MOST:
        time.sleep(left.total_seconds())
        return look_at(ledger, runbook, site, datetime.now(UTC))
    if left > timedelta(0):
        return Check(runbook.id, site.name, True, f"{trigger.text}: {shown_value}, for {now - since} of {trigger.hold}")
    claim = explaining(ledger, site.platform.address(site.name), Ringing(runbook.alert, {}, since))
    if claim is not None:
        return Check(runbook.id, site.name, True, f"{trigger.text}: {shown_value}; {why_held_back(claim)}")
    incident, new = raise_incident(
        ledger,
        new_incident(
            raiser=Raiser.HEALTH_CHECK,
            alert=runbook.alert,
            runbook=runbook.id,
            site=site.name,
            severity=runbook.severity.value,
            summary=f"{trigger.text}: {shown_value}",
            started_at=since,
        ),
    )
    told = f"incident {incident.id[:8]} {'raised' if new else 'is open already'}"
    return Check(runbook.id, site.name, True, f"{trigger.text}: {shown_value}; {told}")


def _close(ledger: Ledger, site: Site, alert: str, now: datetime) -> None:
    """Closes the incident that a health check raised; one that Alertmanager raised is closed by Alertmanager."""
    incident = ledger.incidents.of(site.name, alert)
    if incident is not None and incident.raiser is Raiser.HEALTH_CHECK:
        ledger.incidents.resolve(site.name, alert, now)


def conclude(checks: Sequence[Check]) -> State[Any]:
    """The state of a whole check: it fails where a limit could not be told, because nobody is watching there."""
    if not checks:
        return Completed(name="NothingToCheck", message="no site is saved: see `runbooks sites`")
    unknown = [check for check in checks if check.broken is None]
    broken = [check for check in checks if check.broken]
    text = "; ".join(f"{check.runbook} at {check.site}: {check.text}" for check in unknown + broken)
    if unknown:
        return Failed(name="CannotTell", message=text)
    if broken:
        return Completed(name="LimitBroken", message=text)
    return Completed(name="Healthy", message=f"{len(checks)} limits kept")
