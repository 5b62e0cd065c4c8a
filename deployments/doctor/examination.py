"""The whole examination: the Prefect server and the sites first, then everything else side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.doctor import sites
from deployments.doctor.finding import Finding, merge
from deployments.doctor.installation import apart_from_prefect, in_prefect
from deployments.doctor.looks import NOT_MADE, Look, take
from deployments.doctor.patient import at_site, between_sites
from deployments.doctor.server import Server, judge, read
from flows.catalogue import PLATFORMS
from tasks.settings import settings
from tasks.sites import Saved, SiteNotFound, read_sites


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is looked at: one site or, where it is empty, all; where the intake is; whether test notices are sent."""

    site: str = ""
    intake: str = ""
    notify: bool = False


def examine(wishes: Wishes) -> list[Finding]:
    """Everything that is found, those findings made one that have one cause.

    Raises:
        SiteNotFound: there is no site of the wished name.
    """
    ledger = settings().ledger
    server, findings = _server()
    if not server.answers:
        findings += take([*apart_from_prefect(ledger, wishes.intake)])
        left_out = "sites, deployments, triggers, work pools, schedules, and all that is at the sites"
        findings.append(NOT_MADE.found(left_out, "the Prefect server does not answer"))
        return merge(findings)
    found, told = _sites()
    findings += told
    if wishes.site and found is not None and not sites.knows(found, wishes.site):
        raise SiteNotFound(f"there is no site {wishes.site!r}: see `runbooks sites`")
    looks = [*apart_from_prefect(ledger, wishes.intake), *in_prefect(ledger)]
    if found is not None:
        looks += between_sites(found.sites, ledger)
        for site in found.sites:
            if wishes.site in ("", site.name):
                looks += at_site(site, found.sites, ledger, wishes.intake, notify=wishes.notify)
    findings += take(looks)
    return [finding for finding in merge(findings) if not wishes.site or finding.site in ("", wishes.site)]


def _server() -> tuple[Server, list[Finding]]:
    """The server, and what is to be said of it. One that hangs does not answer."""
    seen: list[Server] = []

    def look() -> Iterable[Finding]:
        seen.append(read())
        return judge(seen[-1])

    findings = take([Look("Prefect server", look)])
    return (seen[-1] if seen else Server("")), findings


def _sites() -> tuple[Saved | None, list[Finding]]:
    """The sites, None where they could not be read, and what is to be said of them."""
    seen: list[Saved] = []

    def look() -> Iterable[Finding]:
        seen.append(read_sites(PLATFORMS.values()))
        return sites.judge(seen[-1])

    findings = take([Look("sites", look)])
    return (seen[-1] if seen else None), findings
