"""What becomes of one alert: an incident is opened, folded into an open one, or closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from deployments.intake.webhook import Alert
from tasks.incidents import new_incident, raise_incident
from tasks.ledger import Ledger
from tasks.model.incident import Incident, Raiser
from tasks.runbook import AnyRunbook
from tasks.sites import Site


class Fate(StrEnum):
    """What became of an alert."""

    OPENED = "opened"
    FOLDED = "folded into an open incident"
    RESOLVED = "resolved"
    QUIET = "resolved, but a run still has the incident in hand"
    ANOTHER = "resolved, but the incident was opened by another alert of this name"
    NOT_OPEN = "resolved, but no incident was open"
    NO_RUNBOOK = "no runbook answers to this alert"
    NO_SITE = "no site answers to these labels"


class Handled(BaseModel):
    """The answer for one alert."""

    model_config = ConfigDict(frozen=True)

    alert: str
    fate: Fate
    site: str | None = None
    incident: str | None = None


def handle(ledger: Ledger, runbooks: Mapping[str, AnyRunbook], sites: Sequence[Site], alert: Alert) -> Handled:
    """Finds the runbook by the alert's name and the site by its labels, then opens, folds or closes.

    Raises:
        Exception: the ledger or Prefect cannot be reached. The sender has to try again.
    """
    runbook = next((runbook for runbook in runbooks.values() if runbook.alert == alert.name), None)
    if runbook is None:
        return Handled(alert=alert.name, fate=Fate.NO_RUNBOOK)
    site = next(
        (s for s in sites if isinstance(s.platform, runbook.platform) and s.platform.answers_to(alert.labels)), None
    )
    if site is None:
        return Handled(alert=alert.name, fate=Fate.NO_SITE)
    if alert.status == "resolved":
        known = ledger.incidents.of(site.name, alert.name)
        if known is not None and _opened_by_another(known, alert):
            return Handled(alert=alert.name, fate=Fate.ANOTHER, site=site.name, incident=known.id)
        closed = ledger.incidents.resolve(site.name, alert.name, alert.endsAt or alert.startsAt)
        fate = Fate.NOT_OPEN if closed is None else Fate.RESOLVED if closed.resolved_at else Fate.QUIET
        return Handled(alert=alert.name, fate=fate, site=site.name, incident=closed.id if closed else None)
    incident, new = raise_incident(
        ledger,
        new_incident(
            raiser=Raiser.ALERTMANAGER,
            alert=alert.name,
            runbook=runbook.id,
            site=site.name,
            severity=runbook.severity.value,
            summary=alert.annotations.get("summary", alert.name),
            started_at=alert.startsAt,
            labels=alert.labels,
            fingerprint=alert.fingerprint,
        ),
    )
    return Handled(alert=alert.name, fate=Fate.OPENED if new else Fate.FOLDED, site=site.name, incident=incident.id)


def _opened_by_another(incident: Incident, alert: Alert) -> bool:
    """Whether an incident stems from another alert of this name: with other labels, and perhaps still on."""
    return bool(incident.fingerprint and alert.fingerprint) and incident.fingerprint != alert.fingerprint
