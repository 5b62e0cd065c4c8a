"""The saved sites: whether there are any, and whether this code can read each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.platform import Platform
from tasks.sites import Site, site_names
from tasks.systems.errors import explain

NONE = Kind(
    "no-sites",
    Health.BROKEN,
    "no alert concerns anything, and no runbook has anything to run on",
    "runbooks sites apply FILE (see the README), or save a block in the Prefect UI",
)
UNREADABLE = Kind(
    "site-unreadable",
    Health.BROKEN,
    "whoever reads all sites fails at this one: the intake, the health check, restore; so no site is served",
    "correct it: runbooks sites apply FILE, or in the Prefect UI under Blocks; or delete it: "
    "prefect block delete {platform}/{site}",
)
KINDS = (NONE, UNREADABLE)


@dataclass(frozen=True, slots=True)
class Saved:
    """The sites that can be read, and by platform and name why the others cannot."""

    sites: tuple[Site, ...]
    unreadable: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset({site.name for site in self.sites} | {name for _, name in self.unreadable})


def read(platforms: Iterable[type[Platform]]) -> Saved:
    """Every saved site of these platforms, each by itself."""
    sites, unreadable = [], {}
    for platform in platforms:
        for name in site_names(platform):
            try:
                found = platform.load(name)
                assert isinstance(found, platform)
                sites.append(Site(name, found))
            except Exception as error:  # one that cannot be read keeps the others from nothing here
                unreadable[platform.slug(), name] = _why(error)
    return Saved(tuple(sites), unreadable)


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):  # its own text repeats the values, and among them may be secrets
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return Unknown.because(explain(error)).reason


def judge(saved: Saved) -> Iterable[Finding]:
    """Whether there is a site, and each can be used."""
    if not saved.names:
        yield NONE.found("sites", "none is saved")
    for (platform, name), why in saved.unreadable.items():
        yield UNREADABLE.found("the site's block", why, name, platform=platform)
    for site in saved.sites:
        yield fine("the site's block", f"{site.platform.slug()}, {site.platform.where()}", site.name)
