"""What becomes of alerts: an incident is opened, folded into an open one, or closed; or it is held back, because it is
our own doing. Nothing is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from deployments.intake.webhook import Alert
from deployments.rules import WATCHDOG
from tasks.explained import Ringing, explaining, why_held_back
from tasks.incidents import new_incident
from tasks.ledger import ClaimRecord, Ledger, Received, Stray
from tasks.ledger.incidents import Firing, Over
from tasks.ledger.strays import stray_key
from tasks.model.incident import Incident, Raiser
from tasks.model.site import Address
from tasks.redact import redact
from tasks.runbook import AnyRunbook

LONGEST = 2_000  # characters of a summary that are kept
STILL_ON = timedelta(hours=5)  # Alertmanager repeats what is on every 4 hours, if it is not told otherwise


class Fate(StrEnum):
    """What became of an alert."""

    OPENED = "opened"
    FOLDED = "folded into an open incident"
    RESOLVED = "resolved"
    QUIET = "resolved, but a run still has the incident in hand"
    ANOTHER = "resolved, but the incident was opened by another alert of this name"
    NOT_OPEN = "resolved, but no incident was open"
    ALIVE = "a sign of life of the alerting"
    NO_RUNBOOK = "no runbook answers to this alert"
    NO_SITE = "no site answers to these labels"
    HELD_BACK = "held back: a claim of ours explains it"


STRAYS = (Fate.NO_RUNBOOK, Fate.NO_SITE)
ByAlert = Mapping[str, AnyRunbook]
"""The runbooks, by the alert that each answers to."""


class Handled(BaseModel):
    """The answer for one alert."""

    model_config = ConfigDict(frozen=True)

    alert: str
    fate: Fate
    site: str | None = None
    incident: str | None = None


def place(by_alert: ByAlert, alert: Alert, addresses: Sequence[Address]) -> tuple[AnyRunbook, Address] | Fate:
    """The runbook by the alert's name, and the site by its labels; or which of them there is not."""
    runbook = by_alert.get(alert.name)
    if runbook is None:
        return Fate.NO_RUNBOOK
    slug = runbook.platform.slug()
    site = next((one for one in addresses if one.platform == slug and one.answers_to(alert.labels)), None)
    return (runbook, site) if site else Fate.NO_SITE


def handle(
    ledger: Ledger, by_alert: ByAlert, addresses: Sequence[Address], alerts: Sequence[Alert], now: datetime
) -> list[Handled]:
    """Takes alerts in, those that somebody answers to in one transaction, and says in their order what became of each.

    Raises:
        LedgerUnavailable: nothing is certain to be kept; the sender has to try again, and what was kept is folded then.
    """
    answers: dict[int, Handled] = {}
    reports: dict[int, Firing | Over] = {}
    strays: list[Stray] = []
    for turn, alert in enumerate(alerts):
        if alert.name == WATCHDOG:
            answers[turn] = _hear(ledger, addresses, alert, now)
            continue
        placed = place(by_alert, alert, addresses)
        site, claim = hold_back(ledger, addresses, alert, placed, now)
        if claim is not None:
            answers[turn] = Handled(alert=alert.name, fate=Fate.HELD_BACK, site=site)
            strays.append(_stray(alert, why_held_back(claim), now, claim.id))
        elif isinstance(placed, Fate):
            answers[turn] = Handled(alert=alert.name, fate=placed)
            strays.append(_stray(alert, placed.value, now))
        else:
            reports[turn] = _report(alert, *placed, now)
            if alert.status == "resolved":
                strays.append(_stray(alert, "", now))  # it may have been one until now, or been held back
    # First what is over: while one is taken up it either becomes known before, or resolves the incident after.
    over = [stray for stray in strays if stray.resolved_at]
    if over:
        ledger.strays.note(_together(over))
    received = ledger.incidents.receive(list(reports.values())) if reports else []
    for turn, came in zip(reports, received, strict=True):
        answers[turn] = _answer(alerts[turn].name, reports[turn], came)
    if on := [stray for stray in strays if not stray.resolved_at]:
        ledger.strays.note(_together(on))
    return [answers[turn] for turn in range(len(alerts))]


def hold_back(
    ledger: Ledger,
    addresses: Sequence[Address],
    alert: Alert,
    placed: tuple[AnyRunbook, Address] | Fate,
    now: datetime,
) -> tuple[str | None, ClaimRecord | None]:
    """The site where an alert may be our own doing, and the claim that explains it, if one does."""
    concerned = [placed[1]] if not isinstance(placed, Fate) else [a for a in addresses if a.answers_to(alert.labels)]
    ringing = Ringing(alert.name, alert.labels, min(alert.startsAt, now))
    for site in concerned:
        if not any(effect.alert == alert.name for effect in site.side_effects):
            continue  # without asking the ledger: nearly all alerts are of this kind
        return site.site, None if alert.status == "resolved" else explaining(ledger, site, ringing)
    return None, None


def _together(strays: Sequence[Stray]) -> list[Stray]:
    """One of those that are the same, with how often it came."""
    found: dict[str, Stray] = {}
    for stray in strays:
        known = found.get(stray.key)
        found[stray.key] = replace(stray, times=known.times + 1) if known else stray
    return list(found.values())


def _report(alert: Alert, runbook: AnyRunbook, site: Address, now: datetime) -> Firing | Over:
    if alert.status == "resolved":
        ended = alert.endsAt if alert.endsAt and alert.endsAt >= alert.startsAt else now
        return Over(site.site, alert.name, alert.fingerprint, min(ended, now))

    def incident() -> Incident:
        return new_incident(
            raiser=Raiser.ALERTMANAGER,
            alert=alert.name,
            runbook=runbook.id,
            site=site.site,
            severity=runbook.severity.value,
            summary=alert.summary[:LONGEST],
            started_at=min(alert.startsAt, now),  # a sender whose clock is ahead of ours gives nobody more time
            labels=alert.labels,
            fingerprint=alert.fingerprint,
        )

    return Firing(site.site, alert.name, incident)


def _answer(alert: str, report: Firing | Over, came: Received) -> Handled:
    incident = came.incident
    if isinstance(report, Firing):
        fate = Fate.OPENED if came.new else Fate.FOLDED
    elif incident is None:
        fate = Fate.NOT_OPEN
    elif came.another:
        fate = Fate.ANOTHER
    else:
        fate = Fate.RESOLVED if incident.resolved_at else Fate.QUIET
    return Handled(alert=alert, fate=fate, site=report.site, incident=incident.id if incident else None)


def _hear(ledger: Ledger, addresses: Sequence[Address], alert: Alert, now: datetime) -> Handled:
    """The alert that is always on says that Prometheus, Alertmanager and the way here work, for each site that it
    speaks of."""
    sites = [one.site for one in addresses if one.answers_to(alert.labels)]
    if alert.status == "firing":
        for site in sites:
            ledger.directory.heard(site, now)
    return Handled(alert=alert.name, fate=Fate.ALIVE, site=", ".join(sites) or None)


def _stray(alert: Alert, why: str, now: datetime, explained_by: int | None = None) -> Stray:
    return Stray(
        key=stray_key(alert.labels),
        alert=alert.name,
        why=why,
        summary=alert.summary[:LONGEST],
        labels={key: redact(value) for key, value in alert.labels.items()},
        started_at=min(alert.startsAt, now),
        first_at=now,
        last_at=now,
        resolved_at=now if alert.status == "resolved" else None,
        explained_by=explained_by,
    )


def adopt(ledger: Ledger, by_alert: ByAlert, addresses: Sequence[Address], now: datetime) -> list[Handled]:
    """Takes the strays in that somebody answers to by now, because a site or a runbook was added, or because the claim
    that held them back explains them no more; says which."""
    known: list[tuple[str, Alert]] = []
    for stray in ledger.strays.firing():
        alert = Alert(
            status="firing",
            labels=stray.labels,
            annotations={"summary": stray.summary},
            startsAt=stray.started_at,
        )
        placed = place(by_alert, alert, addresses)
        if hold_back(ledger, addresses, alert, placed, now)[1] is not None:
            continue
        if not isinstance(placed, Fate):
            if now - stray.last_at < STILL_ON:
                known.append((stray.key, alert))
        elif stray.held_back:
            ledger.strays.explained_no_more(stray.key, placed.value)
    if not known:
        return []
    handled = handle(ledger, by_alert, addresses, [alert for _, alert in known], now)
    over = ledger.strays.take_off([key for (key, _), came in zip(known, handled, strict=True) if came.incident])
    if over:  # whoever said so found no incident to close
        ended = [alert.model_copy(update={"status": "resolved"}) for key, alert in known if key in over]
        handle(ledger, by_alert, addresses, ended, now)
    return handled
