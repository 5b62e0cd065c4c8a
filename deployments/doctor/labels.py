"""Alert labels: whether each site answers to some, no two to the same, and somebody to the alerts that fire now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.doctor.ledger import opened
from deployments.doctor.rules import external_labels
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tasks.sites import Site
from tasks.systems.alertmanager import Alertmanager
from tasks.systems.prometheus import Prometheus

NONE = Kind(
    "no-alert-labels",
    Health.BROKEN,
    "the site has an Alertmanager or a Prometheus and answers to no alert of theirs",
    "set alert_labels of the site, e.g. {{site: {site}}}, and have its rules bear them: runbooks rules {site}",
)
HEALTH_CHECK_ONLY = Kind(
    "watched-by-the-health-check-only",
    Health.DOUBTFUL,
    "incidents are opened by the scheduled health check alone, once a minute",
    "set prometheus_url, alertmanager_url and alert_labels of the site where it has them",
)
SAME = Kind(
    "sites-with-the-same-labels",
    Health.BROKEN,
    "an alert concerns whichever of the sites is found first: the wrong one may be changed",
    "give each a label with a value of its own in alert_labels, e.g. site or cluster",
)
OVERLAPPING = Kind(
    "sites-with-labels-that-may-meet",
    Health.DOUBTFUL,
    "an alert that bears the labels of both concerns whichever is found first",
    SAME.mend,
)
NOBODYS = Kind(
    "alert-of-no-site",
    Health.BROKEN,
    "it fires, and opens no incident",
    "set alert_labels of its site to labels that it bears: {labels}",
)
KINDS = (NONE, HEALTH_CHECK_ONLY, SAME, OVERLAPPING, NOBODYS)


def judge(site: Site) -> Iterable[Finding]:
    """Whether a site answers to any alert."""
    own = site.platform.alert_labels
    what = "alert labels"
    if not own:
        if site.platform.alertmanager_url or site.platform.prometheus_url:
            yield NONE.found(what, "they are empty", site.name)
        else:
            seen = "they are empty, and it has neither Prometheus nor Alertmanager"
            yield HEALTH_CHECK_ONLY.found(what, seen, site.name)
        return
    yield fine(what, _shown(own), site.name)


def judge_all(sites: Sequence[Site]) -> Iterable[Finding]:
    """Whether two sites of a platform answer to the same alert."""
    met = False
    for one, other in combinations(sites, 2):
        here, there = one.platform.alert_labels, other.platform.alert_labels
        if not here or not there or type(one.platform) is not type(other.platform):
            continue
        if any(there.get(key, value) != value for key, value in here.items()):
            continue
        met = True
        names = f"alert labels of {one.name} and {other.name}"
        kind = SAME if here.items() <= there.items() or there.items() <= here.items() else OVERLAPPING
        yield kind.found(names, f"{_shown(here)}; and {_shown(there)}")
    if len(sites) > 1 and not met:
        yield fine("alert labels of all sites", f"{len(sites)} sites, no alert can concern two of them")


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that is on now."""

    alert: str
    labels: Mapping[str, str]


def read_alertmanager(alertmanager: Alertmanager) -> list[Firing]:
    """What is on there."""
    found = alertmanager.get("/api/v2/alerts", {"active": "true"})
    return [Firing(alert["labels"].get("alertname", ""), alert["labels"]) for alert in found]


def read_prometheus(prometheus: Prometheus) -> list[Firing]:
    """What fires there, with the labels that Prometheus adds on sending."""
    added = external_labels(prometheus) or {}
    found = prometheus.get("/api/v1/alerts")["alerts"]
    return [
        Firing(alert["labels"].get("alertname", ""), {**added, **alert["labels"]})
        for alert in found
        if alert["state"] == "firing"
    ]


def read_strays(ledger: str) -> list[Firing]:
    """What the intake took in, is still on as far as it knows, and nobody answered to.

    Raises:
        LedgerUnavailable: the ledger cannot be opened.
    """
    with opened(ledger) as found:
        return [Firing(stray.alert, stray.labels) for stray in found.strays.firing()]


def judge_firing(
    where: str, firing: Sequence[Firing], runbooks: Iterable[AnyRunbook], sites: Sequence[Site]
) -> Iterable[Finding]:
    """Whether the alerts that are on now and that a runbook treats concern a site."""
    platforms = {runbook.alert: runbook.platform for runbook in runbooks}
    known = [alert for alert in firing if alert.alert in platforms]
    nobodys = [alert for alert in known if not _concerns(alert, platforms[alert.alert], sites)]
    for alert in nobodys:
        labels = _shown({key: value for key, value in alert.labels.items() if key not in ("alertname", "severity")})
        yield NOBODYS.found(f"alert {alert.alert} at {where}", f"it bears {labels or 'no labels'}", labels=labels)
    if not nobodys:
        yield fine(f"alerts at {where}", f"{len(firing)} on, {len(known)} of them with a runbook, each at a site")


def _concerns(alert: Firing, platform: type[Platform], sites: Iterable[Site]) -> bool:
    return any(
        isinstance(site.platform, platform) and site.platform.address(site.name).answers_to(alert.labels)
        for site in sites
    )


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in labels.items())
