"""What a site allows: whether trust and limits leave the runbooks anything to do, and nothing stops them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.outcome import Trust
from tasks.platform import Platform

PAUSED = Kind(
    "automation-paused",
    Health.BROKEN,
    "nothing is written at the site, and nothing given back: runs look and report",
    "runbooks resume, or runbooks resume --site {site}; prefect variable unset runbooks_paused; rm {file}: by which of "
    "them it is paused is what was seen",
)
STOPS_SHORT = Kind(
    "trust-stops-short",
    Health.DOUBTFUL,
    "its runs change nothing: a person has to act on what they show",
    "trust_by_runbook of the site: {{{runbook}: approve}}, or trust: approve, once the plans were read and are right",
)
FOR_NOBODY = Kind(
    "trust-for-no-runbook",
    Health.BROKEN,
    "the exception is for a runbook that there is none of: the runbook that is meant runs with the site's trust",
    "correct the name in trust_by_runbook of the site: see runbooks list",
)
CEILING = Kind(
    "ceiling-below-goal",
    Health.DOUBTFUL,
    "the option goes only as far as the ceiling, which may not help",
    "raise the site's ceiling for {what} to {goal}, or lower the number of {runbook}",
)
CONTRADICTION = Kind(
    "settings-contradict",
    Health.DOUBTFUL,
    "the runbooks get in each other's way, or do nothing",
    "correct the settings that it names: runbooks sites apply FILE, or the Prefect UI under Blocks",
)
NO_CHANGES = Kind(
    "no-changes-allowed",
    Health.BROKEN,
    "every change is refused as over the limit",
    "limits.changes_per_hour of the site: 20",
)
FROZEN = Kind(
    "frozen",
    Health.DOUBTFUL,
    "every change is refused until the freeze ends; giving back goes on",
    "end it in limits.freezes of the site, if it is not meant any more",
)
OWNED = Kind(
    "target-owned",
    Health.BROKEN,
    "every change to it is refused: its owner would put the old state back",
    "limits.tolerated_owners of the site: [{owner}], if it puts nothing back by itself",
)
KINDS = (PAUSED, STOPS_SHORT, FOR_NOBODY, CEILING, CONTRADICTION, NO_CHANGES, FROZEN, OWNED)


def judge_pause(site: str, why: str, file: Path) -> Iterable[Finding]:
    """Whether the kill switch is on. `why` is empty where it is not; `file` is the one that pauses this host."""
    what = "kill switch"
    yield PAUSED.found(what, f"paused {why}", site, file=file) if why else fine(what, "off", site)


def judge(site: str, platform: Platform, runbooks: Iterable[str], known: Iterable[str], now: datetime) -> list[Finding]:
    """Whether what the site allows lets its runbooks do their work. `known` are the ids of all runbooks."""
    found = [*_trust(site, platform, runbooks, known), *_limits(site, platform, now), *_ceilings(site, platform)]
    for sentence in platform.contradictions():
        found.append(CONTRADICTION.found("settings", sentence, site))
    return found


def _trust(site: str, platform: Platform, runbooks: Iterable[str], known: Iterable[str]) -> Iterable[Finding]:
    for strange in sorted(set(platform.trust_by_runbook) - set(known)):
        yield FOR_NOBODY.found(f"trust in {strange}", "there is no such runbook", site)
    for runbook in runbooks:
        trust, what = platform.trust_in(runbook), f"trust in {runbook}"
        if trust in (Trust.OBSERVE, Trust.PLAN):
            yield STOPS_SHORT.found(what, trust.value, site, runbook=runbook)
        else:
            yield fine(what, trust.value, site)


def _limits(site: str, platform: Platform, now: datetime) -> Iterable[Finding]:
    limits, freeze = platform.limits, platform.limits.freeze_at(now)
    if not limits.changes_per_hour:
        yield NO_CHANGES.found("limits", "0 changes per hour are allowed", site)
    if freeze is not None:
        reason = f": {freeze.reason}" if freeze.reason else ""
        yield FROZEN.found("change freezes", f"one holds until {freeze.ends:%Y-%m-%d %H:%M} UTC{reason}", site)
    if limits.changes_per_hour and freeze is None:
        yield fine("limits", f"{limits.changes_per_hour} changes per hour are allowed, no freeze holds", site)


def _ceilings(site: str, platform: Platform) -> Iterable[Finding]:
    ceilings, reached = platform.ceilings(), True
    for runbook, goals in platform.goals().items():
        for counted, goal in goals.items():
            ceiling = ceilings.get(counted)
            if ceiling is not None and goal > ceiling:
                reached = False
                seen = f"{runbook} wants at least {goal}, the site allows {ceiling}"
                yield CEILING.found(f"ceiling of {counted}", seen, site, what=counted, goal=goal, runbook=runbook)
    if reached and platform.goals():
        yield fine("ceilings", ", ".join(f"{most} {counted}" for counted, most in ceilings.items()), site)


def judge_owners(site: str, platform: Platform, owners: Mapping[str, str]) -> Iterable[Finding]:
    """Whether somebody would put back what runbooks change."""
    tolerated = platform.limits.tolerated_owners
    owned = {target: owner for target, owner in owners.items() if owner and not owner.startswith(tuple(tolerated))}
    for target, owner in owned.items():
        yield OWNED.found(f"owner of {target}", f"it belongs to {owner}", site, owner=owner.partition(" ")[0])
    if owners and not owned:
        yield fine("owners", f"nobody puts back what is changed of {', '.join(owners)}", site)
