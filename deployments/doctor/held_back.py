"""The alerts that a site holds back as our own doing: whether Prometheus has them, and whether they start a runbook."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.doctor.rules import Rule
from tasks.runbook import AnyRunbook
from tasks.sites import Site

UNKNOWN = Kind(
    "held-back-alert-unknown",
    Health.DOUBTFUL,
    "nothing is held back by this name; the alert that is meant will count although we caused it ourselves",
    "correct the name in the site's block (a message bus: paused_sources.alerts), or take it out",
)
OF_A_RUNBOOK = Kind(
    "held-back-alert-starts-a-runbook",
    Health.DOUBTFUL,
    "while a claim explains it the alert opens no incident, also when there is trouble of another cause behind it",
    "take it out of the site's block (a message bus: paused_sources.alerts), unless it never means anything else",
)
KINDS = (UNKNOWN, OF_A_RUNBOOK)


def names(site: Site) -> list[str]:
    """The alerts that the site holds back, each once."""
    return list(dict.fromkeys(effect.alert for effect in site.platform.side_effects()))


def judge(site: Site, runbooks: Collection[AnyRunbook], found: Sequence[Rule] | None) -> Iterable[Finding]:
    """Whether each of those alerts is there, and is no more than what a claim explains. `found` are the site's rules
    of these names; None where there is no Prometheus to ask."""
    for name in names(site):
        what = f"alert {name}, held back as our own doing"
        starts = [runbook.id for runbook in runbooks if runbook.alert == name]
        if starts:
            yield OF_A_RUNBOOK.found(what, f"it starts {starts[0]}", site.name)
        elif found is not None and not any(rule.alert == name for rule in found):
            yield UNKNOWN.found(what, "Prometheus has no such rule", site.name)
        else:
            yield fine(what, "it starts no runbook", site.name)
