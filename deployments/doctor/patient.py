"""The looks at one site, and at what its neighbours have to do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from deployments.doctor import (
    clocks,
    cluster,
    contacts,
    held_back,
    labels,
    metrics,
    monitoring,
    permissions,
    readings,
    receivers,
    rules,
    trust,
)
from deployments.doctor.finding import Finding
from deployments.doctor.ledger import opened
from deployments.doctor.looks import Look
from deployments.rules import WATCHDOG
from deployments.rules import rules as our_rules
from flows.catalogue import RUNBOOKS
from tasks.contacts import Channel
from tasks.model.criterion import Criterion
from tasks.model.evidence import Probe
from tasks.model.incident import Raiser
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tasks.settings import settings
from tasks.sites import Site
from tasks.switch import paused
from tasks.systems.alertmanager import Alertmanager
from tasks.systems.exposition import Endpoints
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.metrics import Wanted, wanted
from tasks.systems.prometheus import Prometheus

MEASURE = timedelta(seconds=60)  # where there is no Prometheus, a rate takes two scrapes of all pods


def between_sites(sites: Sequence[Site], ledger: str) -> Iterator[Look]:
    """Whether sites can be told apart, and the alerts that are on now concern one of them. `ledger` is its address."""
    yield Look("alert labels of all sites", lambda: labels.judge_all(sites))
    asked: dict[str, Callable[[], list[labels.Firing]]] = {}
    for site in sites:
        if alertmanager := site.platform.alertmanager():
            where = f"Alertmanager {site.platform.alertmanager_url}"
            asked.setdefault(where, partial(labels.read_alertmanager, alertmanager))
        elif prometheus := site.platform.prometheus():
            where = f"Prometheus {site.platform.prometheus_url}"
            asked.setdefault(where, partial(labels.read_prometheus, prometheus))
    asked["the intake"] = partial(labels.read_strays, ledger)
    for where, read in asked.items():
        yield Look(f"alerts at {where}", partial(_firing, where, read, sites))


def _firing(where: str, read: Callable[[], list[labels.Firing]], sites: Sequence[Site]) -> Iterable[Finding]:
    return labels.judge_firing(where, read(), RUNBOOKS.values(), sites)


def at_site(site: Site, sites: Sequence[Site], ledger: str, intake: str, *, notify: bool) -> Iterator[Look]:
    """Everything at one site. `sites` are all sites, `ledger` and `intake` are addresses."""
    patient = Patient(site, sites, ledger, intake)
    looks = (patient.settings(), patient.people(notify=notify), patient.cluster(), patient.monitoring(), patient.runs())
    for group in looks:
        for look in group:
            yield replace(look, site=site.name)


@dataclass(frozen=True)
class Patient:
    """One site, and what the looks at it have in common."""

    site: Site
    sites: Sequence[Site]
    ledger: str
    intake: str

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def platform(self) -> Platform:
        return self.site.platform

    @property
    def runbooks(self) -> list[AnyRunbook]:
        """Those of its platform."""
        return [runbook for runbook in RUNBOOKS.values() if isinstance(self.platform, runbook.platform)]

    @property
    def ids(self) -> list[str]:
        return [runbook.id for runbook in self.runbooks]

    @property
    def series(self) -> list[Wanted]:
        """What its runbooks rest on, each once."""
        asked = (question for runbook in self.runbooks for question in runbook.asks(self.platform))
        return list(dict.fromkeys(series for question in asked for series in wanted(question)))

    # ---- what the site says by itself ----

    def settings(self) -> Iterator[Look]:
        """Labels, trust, limits, and whether it is paused."""
        yield Look("alert labels", lambda: labels.judge(self.site))
        yield Look("trust and limits", self._trust)
        yield Look("kill switch", self._pause)

    def _trust(self) -> Iterable[Finding]:
        return trust.judge(self.name, self.platform, self.ids, RUNBOOKS, datetime.now(UTC))

    def _pause(self) -> Iterable[Finding]:
        with opened(self.ledger) as ledger:
            return trust.judge_pause(self.name, paused(ledger, self.name), settings().pause_file)

    # ---- people ----

    def people(self, *, notify: bool) -> Iterator[Look]:
        """Contacts and channels; with `notify` a test notice is sent to each."""
        ladders = [runbook.ladder for runbook in self.runbooks]
        yield Look("contacts", lambda: contacts.judge(self.name, self.platform.contacts, ladders))
        for channel in self.platform.contacts:
            yield Look(f"channel {channel.name}", partial(self._channel, channel))
            if notify:
                yield Look(f"test notice to {channel.name}", partial(self._notify, channel), deadline=MEASURE)

    def _channel(self, channel: Channel) -> Iterable[Finding]:
        return contacts.judge_channel(self.name, channel, contacts.read(channel))

    def _notify(self, channel: Channel) -> Iterable[Finding]:
        return contacts.judge_test(self.name, channel, contacts.send_test(self.name, channel))

    # ---- the cluster ----

    def cluster(self) -> Iterator[Look]:
        """The Kubernetes API and what we may do there."""
        if (reached := self.platform.cluster()) is not None:
            yield Look("Kubernetes API", partial(self._api, reached))
            yield Look("permissions", partial(self._permissions, reached))
            yield Look("clock of the Kubernetes API", partial(self._cluster_clock, reached))
            yield Look("owners", lambda: trust.judge_owners(self.name, self.platform, self.platform.owners()))

    def _api(self, reached: Cluster) -> Iterable[Finding]:
        return cluster.judge(self.name, self.platform, cluster.read(reached))

    def _permissions(self, reached: Cluster) -> Iterable[Finding]:
        granted = permissions.read(reached, self.platform.permissions())
        acts = permissions.acts(self.platform, self.ids)
        return permissions.judge(self.name, reached, granted, acts=acts)

    def _cluster_clock(self, reached: Cluster) -> Iterable[Finding]:
        return clocks.judge("the Kubernetes API", clocks.of_kubernetes(reached), self.name)

    # ---- metrics and alerts ----

    def monitoring(self) -> Iterator[Look]:
        """Prometheus, Alertmanager, series, rules, receivers."""
        endpoints = self.platform.endpoints()
        if (prometheus := self.platform.prometheus()) is not None:
            yield Look("Prometheus", partial(self._prometheus, prometheus))
            yield Look("clock of Prometheus", partial(self._prometheus_clock, prometheus))
            yield Look("series in Prometheus", partial(self._series, prometheus))
            yield Look("alert rules", partial(self._rules, prometheus))
        elif endpoints is not None:
            yield Look("series of the pods", partial(self._exported, endpoints))
        if held_back.names(self.site):
            yield Look("alerts held back", partial(self._held_back, prometheus))
        if (alertmanager := self.platform.alertmanager()) is not None:
            yield Look("Alertmanager", partial(self._alertmanager, alertmanager))
            yield Look("Alertmanager's receivers", partial(self._receivers, alertmanager))

    def _prometheus(self, prometheus: Prometheus) -> Iterable[Finding]:
        return monitoring.judge_prometheus(self.name, self.platform, monitoring.read_prometheus(prometheus))

    def _prometheus_clock(self, prometheus: Prometheus) -> Iterable[Finding]:
        return clocks.judge("Prometheus", clocks.of_prometheus(prometheus), self.name)

    def _series(self, prometheus: Prometheus) -> Iterable[Finding]:
        scope, pods = self.platform.prometheus_scope(), self.platform.endpoints()
        return metrics.judge(self.name, self.platform, metrics.read(prometheus, scope, self.series, pods))

    def _exported(self, endpoints: Endpoints) -> Iterable[Finding]:
        return metrics.judge_pods(self.name, self.series, endpoints.types())

    def _rules(self, prometheus: Prometheus) -> Iterable[Finding]:
        found = rules.read(prometheus, [WATCHDOG, *(runbook.alert for runbook in self.runbooks)])
        told = [one for runbook in self.runbooks for one in rules.judge(self.site, self.sites, runbook, found)]
        return [*told, *rules.judge_watchdog(self.site, found)]

    def _held_back(self, prometheus: Prometheus | None) -> Iterable[Finding]:
        found = rules.read(prometheus, held_back.names(self.site)) if prometheus else None
        return held_back.judge(self.site, self.runbooks, found)

    def _alertmanager(self, alertmanager: Alertmanager) -> Iterable[Finding]:
        return monitoring.judge_alertmanager(self.name, self.platform, monitoring.read_alertmanager(alertmanager))

    def _receivers(self, alertmanager: Alertmanager) -> Iterable[Finding]:
        found = receivers.read(alertmanager)
        rules_of_ours = (rule for group in our_rules(self.platform)["groups"] for rule in group["rules"])
        alerts = [{"alertname": rule["alert"], **rule["labels"]} for rule in rules_of_ours]
        told = receivers.judge(self.name, self.intake, found.webhooks)
        return [*told, *receivers.judge_routes(self.name, self.intake, found, alerts)]

    # ---- what a run would do first and last ----

    def runs(self) -> Iterator[Look]:
        """Each reading and each criterion of its runbooks, once."""
        probes = {probe.name: probe for runbook in self.runbooks for probe in runbook.probes(self.platform)}
        for probe in probes.values():
            yield Look(f"reading “{probe.name}”", partial(self._read, probe), deadline=probe.deadline)
        for runbook in self.runbooks:
            for criterion in runbook.criteria(self.platform, Raiser.ALERTMANAGER):
                at = f"criterion “{criterion.text}” of {runbook.id}"
                yield Look(at, partial(self._measure, at, criterion), deadline=MEASURE)

    def _read(self, probe: Probe[object]) -> Iterable[Finding]:
        return readings.judge(self.name, probe.name, readings.take(probe))

    def _measure(self, at: str, criterion: Criterion) -> Iterable[Finding]:
        return readings.judge_criterion(self.name, at, readings.measure(criterion))
