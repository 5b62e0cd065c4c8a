"""Prometheus and Alertmanager of a site: whether they answer, and find each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.platform import Platform
from tasks.systems.alertmanager import Alertmanager
from tasks.systems.errors import explain
from tasks.systems.prometheus import Prometheus

NO_PROMETHEUS = Kind(
    "prometheus-unreachable",
    Health.BROKEN,
    "every metric is unknown: no option is taken and no gate opens",
    "curl {url}/api/v1/status/buildinfo, from the worker; then correct prometheus_url and prometheus_token of the site",
)
NO_ALERTMANAGER = Kind(
    "alertmanager-unreachable",
    Health.BROKEN,
    "whether an alert is resolved cannot be told, so no gate opens",
    "curl {url}/api/v2/status, from the worker; then correct alertmanager_url and alertmanager_token of the site",
)
TELLS_NOBODY = Kind(
    "prometheus-tells-nobody",
    Health.BROKEN,
    "alerts fire in Prometheus and reach no Alertmanager, so no incident is opened by them",
    "prometheus.yml: alerting: {{alertmanagers: [{{static_configs: [{{targets: [HOST:9093]}}]}}]}}",
)
KINDS = (NO_PROMETHEUS, NO_ALERTMANAGER, TELLS_NOBODY)


@dataclass(frozen=True, slots=True)
class Answer:
    """The version that a server says it has, or why it says nothing.

    `tells` are the Alertmanagers of a Prometheus, None where it does not show them.
    """

    version: str = ""
    tells: tuple[str, ...] | None = None
    trouble: str = ""


def read_prometheus(prometheus: Prometheus) -> Answer:
    """Asks Prometheus who it is and whom it tells."""

    def ask() -> Answer:
        prometheus.get("/api/v1/query", {"query": "time()"})
        version = (prometheus.show("/api/v1/status/buildinfo") or {}).get("version") or "unknown"
        shown = prometheus.show("/api/v1/alertmanagers")
        return Answer(version, tuple(one["url"] for one in shown["activeAlertmanagers"]) if shown else None)

    return _answer(ask)


def read_alertmanager(alertmanager: Alertmanager) -> Answer:
    """Asks Alertmanager who it is."""
    return _answer(lambda: Answer(alertmanager.get("/api/v2/status")["versionInfo"]["version"]))


def _answer(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except Exception as error:  # whatever it is, it cannot be asked anything else either
        return Answer(trouble=Unknown.because(explain(error)).reason)


def judge_prometheus(site: str, platform: Platform, answer: Answer) -> Iterable[Finding]:
    """Whether Prometheus can be asked, and tells somebody of its alerts."""
    what = f"Prometheus {platform.prometheus_url}"
    if answer.trouble:
        yield NO_PROMETHEUS.found(what, answer.trouble, site, url=platform.prometheus_url)
        return
    yield fine(what, f"answers, version {answer.version}", site)
    if platform.alertmanager_url and answer.tells == ():
        yield TELLS_NOBODY.found(f"Alertmanagers of {what}", "it knows none", site)


def judge_alertmanager(site: str, platform: Platform, answer: Answer) -> Iterable[Finding]:
    """Whether Alertmanager can be asked."""
    what = f"Alertmanager {platform.alertmanager_url}"
    if answer.trouble:
        yield NO_ALERTMANAGER.found(what, answer.trouble, site, url=platform.alertmanager_url)
    else:
        yield fine(what, f"answers, version {answer.version}", site)
