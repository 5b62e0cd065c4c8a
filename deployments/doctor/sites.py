"""The saved sites: whether there are any, and whether this code can read each of them."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.sites import Saved

NONE = Kind(
    "no-sites",
    Health.BROKEN,
    "no alert concerns anything, and no runbook has anything to run on",
    "runbooks sites apply FILE (see the README), or save a block in the Prefect UI",
)
UNREADABLE = Kind(
    "site-unreadable",
    Health.BROKEN,
    "no alert concerns it, and the health check and restore fail at it for all sites",
    "correct it: runbooks sites apply FILE, or in the Prefect UI under Blocks; or delete it: prefect block delete",
)
KINDS = (NONE, UNREADABLE)


def judge(saved: Saved) -> Iterable[Finding]:
    """Whether there is a site, and each can be used."""
    if not saved.sites and not saved.broken:
        yield NONE.found("sites", "none is saved")
    for why in saved.broken.values():
        yield UNREADABLE.found("sites", why)
    for site in saved.sites:
        yield fine("the site's block", f"{site.platform.slug()}, {site.platform.where()}", site.name)


def knows(saved: Saved, name: str) -> bool:
    """Whether there is a site of this name, be it one that cannot be used."""
    return any(site.name == name for site in saved.sites) or name in saved.broken
