"""The automation's own metrics, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.intake.health import Health
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.ledger.figures import Figures, figures

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Meters:
    """What the intake counts itself, since it was started."""

    def __init__(self, health: Health) -> None:
        self.registry = CollectorRegistry()
        self.alerts = Counter(
            "runbooks_alerts", "Alerts that arrived, by what became of them", ["fate"], registry=self.registry
        )
        self.refused = Counter(
            "runbooks_intake_refused", "Requests that were not taken, by status", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "runbooks_intake_seconds",
            "From a request's arrival until it was in the ledger",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_Parts(health))
        self.registry.register(_Book(health.ledger))


class _Parts(Collector):
    """Whether each part works."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("runbooks_up", "Whether a part works (1) or not (0)", labels=["part"])
        for part, why in self._health.parts().items():
            up.add_metric([part], 0 if why else 1)
        yield up
        yield GaugeMetricFamily(
            "runbooks_intake_waiting", "Alerts waiting to be taken in", value=self._health.desk.waiting
        )


class _Book(Collector):
    """What the ledger says, read at each scrape. While it cannot be read its series are missing, not 0."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found = figures(self._ledger)
        except LedgerUnavailable:
            return iter(())
        return _families(found)


def _families(found: Figures) -> Iterator[Metric]:
    yield _counted("runbooks_incidents_open", "Open incidents", ("runbook", "state"), found.incidents)
    yield GaugeMetricFamily(
        "runbooks_unclaimed_age_seconds",
        "How long the oldest open incident waits for a run; 0 where none does",
        value=found.oldest_unclaimed_seconds,
    )
    yield _counted("runbooks_claims_open", "Numbers that are still changed", ("runbook", "overdue"), found.claims)
    yield _counted("runbooks_approvals_waiting", "Plans that wait for a person", ("runbook",), found.approvals)
    yield GaugeMetricFamily("runbooks_strays", "Alerts that no runbook or no site knows", value=found.strays)
    yield GaugeMetricFamily(
        "runbooks_held_back", "Alerts that are on and held back: our own claims explain them", value=found.held_back
    )
    # Gauges: what the ledger holds shrinks when it is pruned, which a counter must not.
    yield _counted("runbooks_ledger_runs", "Runs that ended, by outcome", ("runbook", "outcome"), found.runs)
    yield _counted("runbooks_ledger_changes", "Changes, by how far they got", ("state",), found.changes)
    yield _counted("runbooks_ledger_refusals", "Changes that a guard refused", ("reason",), found.refusals)
    yield _counted("runbooks_ledger_pages", "Calls to people", ("kind", "reached"), found.pages)


def _counted(name: str, text: str, labels: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family
