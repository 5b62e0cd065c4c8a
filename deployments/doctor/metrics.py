"""The series that runbooks and alert rules rest on: whether anybody exports them, and as what.

An empty vector is not 0: what nobody exports stays unknown for ever, and an alert on it never fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.platform import Platform
from tasks.systems.errors import explain
from tasks.systems.exposition import Endpoints
from tasks.systems.metrics import Labels, Wanted
from tasks.systems.prometheus import Prometheus, selector

_UNKNOWN = "what rests on it is unknown: no option is taken on it, its criteria keep the gate closed"

MISSING = Kind(
    "series-missing",
    Health.BROKEN,
    _UNKNOWN,
    "say under which name it is exported in the site's metric names (now {name}), or have the service export it",
)
NOT_SCRAPED = Kind(
    "series-not-scraped",
    Health.BROKEN,
    _UNKNOWN,
    "have Prometheus scrape the pods (see its page /targets), and drop no {name} in metric_relabel_configs",
)
LABELS = Kind(
    "labels-match-no-series",
    Health.BROKEN,
    _UNKNOWN,
    "correct prometheus_labels of the site (now {labels}): Prometheus has the series with {other}",
)
TYPE = Kind(
    "series-of-another-type",
    Health.BROKEN,
    "the number says something else than the runbook takes it for: a rate of a gauge is none, a counter as a "
    "gauge only grows",
    "name the {wanted} in the site's metric names (now {name}), or have the service export it as one",
)
KINDS = (MISSING, NOT_SCRAPED, LABELS, TYPE)


@dataclass(frozen=True, slots=True)
class Series:
    """A series as Prometheus has it: how many with the site's labels and how many in all, the types that were
    declared, the labels of one that is not the site's, and whether the pods export it (None: they were not asked,
    `asked` says why)."""

    wanted: Wanted
    here: int
    anywhere: int
    types: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] | None = None
    exported: bool | None = None
    asked: str = "it exports metrics nowhere else"


def read(prometheus: Prometheus, scope: Labels, wanted: Iterable[Wanted], pods: Endpoints | None) -> list[Series]:
    """What Prometheus has of these series; the pods are asked about those that it has not."""
    found = [_read(prometheus, scope, one) for one in dict.fromkeys(wanted)]
    if all(series.anywhere for series in found) or pods is None:
        return found
    try:
        names: set[str] = {name for types in pods.types().values() for name in types}
        return [replace(series, exported=series.wanted.name in names) for series in found]
    except Exception as error:  # whoever runs the doctor may not reach the pods; Prometheus's answer stands
        return [replace(series, asked=Unknown.because(explain(error)).reason) for series in found]


def _read(prometheus: Prometheus, scope: Labels, wanted: Wanted) -> Series:
    here = _count(prometheus, selector(wanted.name, scope + wanted.labels))
    anywhere = here or _count(prometheus, selector(wanted.name, wanted.labels))
    elsewhere = None
    if anywhere and not here:
        one = prometheus.get("/api/v1/query", {"query": f"topk(1, {selector(wanted.name, wanted.labels)})"})["result"]
        elsewhere = one[0]["metric"] if one else {}
    return Series(wanted, here, anywhere, _types(prometheus, wanted), elsewhere)


def _count(prometheus: Prometheus, series: str) -> int:
    found = prometheus.get("/api/v1/query", {"query": f"count({series})"})["result"]
    return int(found[0]["value"][1]) if found else 0


def _types(prometheus: Prometheus, wanted: Wanted) -> frozenset[str]:
    """The declared types: kept under the name of the family, which of a counter may be with or without its `_total`."""
    families = {wanted.name, wanted.name.removesuffix("_total"), wanted.name.removesuffix("_bucket")}
    told = [prometheus.show(f"/api/v1/metadata?metric={family}") or {} for family in sorted(families)]
    return frozenset(entry["type"] for metadata in told for entries in metadata.values() for entry in entries)


def judge(site: str, platform: Platform, found: Sequence[Series]) -> Iterable[Finding]:
    """What is missing in Prometheus, or is something else than it is taken for."""
    labels = ", ".join(f'{name}="{value}"' for name, value in platform.prometheus_scope()) or "none"
    for series in found:
        name, what = series.wanted.name, f"series {series.wanted.name}"
        if series.here:
            if kind := _other_type(series.wanted, series.types):
                yield TYPE.found(what, f"it is a {kind}", site, name=name, wanted=series.wanted.type)
        elif series.anywhere:
            seen = f"none with {labels}, {series.anywhere} in all"
            other = ", ".join(
                f'{key}="{value}"' for key, value in (series.elsewhere or {}).items() if key != "__name__"
            )
            yield LABELS.found(what, seen, site, labels=labels, other=other or "no labels")
        elif series.exported:
            yield NOT_SCRAPED.found(what, "the pods export it, Prometheus does not have it", site, name=name)
        else:
            pods = "and no pod exports it" if series.exported is False else f"the pods were not asked ({series.asked})"
            yield MISSING.found(what, f"Prometheus does not have it, {pods}", site, name=name)
    good = [s for s in found if s.here and not _other_type(s.wanted, s.types)]
    if good:
        untold = [s.wanted.name for s in good if not s.types - {"unknown", "untyped"}]
        told = f"; of what type is not told of {', '.join(untold)}" if untold else ""
        yield fine("series in Prometheus", f"{len(good)} of {len(found)} are there{told}", site)


def _other_type(wanted: Wanted, types: Iterable[str]) -> str:
    """The type that a series has instead of the wanted one; empty where it has the right one or none is told."""
    told = sorted(set(types) - {"unknown", "untyped"})
    return "" if not told or wanted.type in told else told[0]


def judge_pods(site: str, wanted: Iterable[Wanted], exported: Mapping[str, Mapping[str, str]]) -> Iterable[Finding]:
    """For a site without Prometheus: `exported` has by pod the types of its samples by name. Each pod must export all:
    of a number that one of them keeps back the whole is unknown."""
    series = list(dict.fromkeys(wanted))
    for one in series:
        what = f"series {one.name}"
        types = {pod: found[one.name] for pod, found in exported.items() if one.name in found}
        if len(types) < len(exported):
            seen = f"{len(exported) - len(types)} of {len(exported)} pods do not export it"
            yield MISSING.found(what, seen, site, name=one.name)
        elif kind := _other_type(one, types.values()):
            yield TYPE.found(what, f"it is a {kind}", site, name=one.name, wanted=one.type)
        else:
            yield fine(what, f"exported by all {len(exported)} pods", site)
