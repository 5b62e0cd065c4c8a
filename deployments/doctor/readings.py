"""The readings that runbooks take and the criteria that their gates wait for: each is taken once, as a run would.

This shows what no list of settings shows: a Deployment of another name, pods without limits, a task listing that is
not complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.criterion import Criterion, Holds, Sample
from tasks.model.evidence import Probe, Reading, Unknown, UnknownReading
from tasks.systems.errors import explain
from tasks.validate import look

FAILS = Kind(
    "reading-fails",
    Health.BROKEN,
    "it is unknown in every run: no option that rests on it is taken",
    "mend what it says; where it looks is in the site's settings: runbooks sites, or the Prefect UI under Blocks",
)
UNUSABLE = Kind(
    "reading-unusable",
    Health.DOUBTFUL,
    "it was answered with nothing that a decision can rest on; on a system at rest that may pass",
    "runbooks doctor --site {site} again while the system works; if it stays, look at its source",
)
UNKNOWN = Kind(
    "criterion-unknown",
    Health.BROKEN,
    "the gate stays closed whatever the runbook does: every run ends NotRecovered and calls a person",
    "mend what it says; where a sample is too old: scrape more often, or raise pace.stale_after_seconds of the site",
)
KINDS = (FAILS, UNUSABLE, UNKNOWN)


def take(probe: Probe[object]) -> Reading[object] | Exception:
    """The reading, or why it cannot be had."""
    try:
        reading = probe.read()
        str(reading)  # some are only put into words now, and may find then that they cannot be
        return reading
    except Exception as error:
        return error


def judge(site: str, probe: str, found: Reading[object] | Exception) -> Iterable[Finding]:
    """Whether a run could rest on this reading."""
    what = f"reading “{probe}”"
    match found:
        case Reading():
            yield fine(what, str(found), site)
        case UnknownReading():
            yield UNUSABLE.found(what, Unknown.because(found).reason, site)
        case _:
            yield FAILS.found(what, Unknown.because(explain(found)).reason, site)


def measure(criterion: Criterion) -> Sample:
    """The criterion as a gate would see it after a change long ago."""
    return look(criterion, changed_at=-math.inf)


def judge_criterion(site: str, what: str, sample: Sample) -> Iterable[Finding]:
    """Whether a gate could ever tell. Whether the criterion holds now says nothing about that."""
    if sample.holds is Holds.UNKNOWN:
        yield UNKNOWN.found(what, sample.why, site)
    else:
        yield fine(what, f"{sample.shown}, {'holds' if sample.holds is Holds.YES else 'does not hold'} now", site)
