"""Restore: what was changed for a while is given back when the document's condition holds, gradually where it says so.

A restore is a run of its own, started again and again until nothing is left to give back; it begins with what the
ledger says, so it does not matter what was killed in between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from tasks.case import Case
from tasks.diagnose import diagnose
from tasks.facts import LiveFacts
from tasks.giving_back import give_back, out_of_reach
from tasks.heartbeat import beating
from tasks.ledger import ClaimRecord, Holding, Ledger
from tasks.model.change import Purpose
from tasks.model.claim import Bound, Claim, Levels
from tasks.model.decision import GiveBack, Keep
from tasks.model.evidence import UnknownReading
from tasks.model.knob import Knob
from tasks.model.outcome import Severity, Trust
from tasks.model.refusal import Refused
from tasks.report import text
from tasks.runbook import AnyRunbook, Release
from tasks.sites import Site

AnyCase = Case[Any, Any]  # a restore treats runbooks of all kinds alike


class Fate(StrEnum):
    """What became of one claim in one restore."""

    GIVEN_BACK = "given back"
    RELAXED = "partly given back"
    KEPT = "kept"
    NOT_DONE = "not given back"


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a restore's report."""

    fate: Fate
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Group:
    """The claims of one runbook on behalf of one incident (or of one run that a person started)."""

    runbook: AnyRunbook
    incident: str | None
    claims: tuple[ClaimRecord, ...]


def groups(ledger: Ledger, runbooks: Mapping[str, AnyRunbook], site: str) -> list[Group]:
    """The claims at a site that are not in use by a run any more, by runbook and incident."""
    found: dict[tuple[str, str | None], list[ClaimRecord]] = {}
    for holding in ledger.claims.holdings(site):
        for claim in holding.claims:
            run = ledger.runs.get(claim.run)
            if claim.runbook in runbooks and (run is None or run.ended_at is not None):
                found.setdefault((claim.runbook, claim.incident), []).append(claim)
    return [Group(runbooks[runbook], incident, tuple(claims)) for (runbook, incident), claims in found.items()]


def still_going_on(ledger: Ledger, runbooks: Mapping[str, AnyRunbook], site: Site, group: Group) -> str:
    """The open incident because of which the group's claims are kept, or the empty string."""
    subject = group.runbook.subject(site.platform)
    for incident in ledger.incidents.still_open():
        other = runbooks.get(incident.runbook)
        if incident.site != site.name or other is None or not isinstance(site.platform, other.platform):
            continue
        if incident.id == group.incident or other.subject(site.platform) == subject:
            return f"{incident.alert} is still on ({incident.id[:8]})"
    return ""


def restore_group(ledger: Ledger, run: str, site: Site, group: Group, *, force: bool) -> list[Told]:
    """Gives back the claims of a group as far as they are not needed, step by step. `force` asks for no condition, but
    the guards are asked in any case."""
    case = _case(ledger, run, site, group)
    told: dict[int, Told] = {}
    try:
        with beating(ledger, case.facts, case.lease), case.at_work():
            case.hold()
            while _round(case, group, told, force=force):
                time.sleep(site.platform.pace.give_back.total_seconds())
        return list(told.values())
    except Refused as refused:
        case.note("refused", str(refused))
        return [*told.values(), Told(Fate.KEPT, f"claims of {group.runbook.id}", str(refused))]


def _case(ledger: Ledger, run: str, site: Site, group: Group) -> AnyCase:
    return Case(
        runbook=group.runbook,
        platform=site.platform,
        site=site.name,
        ledger=ledger,
        run_id=run,
        incident=None,
        allowed=site.platform.allowed(Trust.ACT),
        facts=LiveFacts(ledger, site.name, run, group.incident, site.platform.limits.cooldown, claims_incident=False),
        deployed=frozenset,
        started_at=datetime.now(UTC),
        rank=Severity.INFO,  # any runbook may take the target from a restore
    )


def _round(case: AnyCase, group: Group, told: dict[int, Told], *, force: bool) -> bool:
    """One look and one step. Says whether something was done: then the next claim needs a look of its own."""
    found = None if force else diagnose(case)
    ids = {claim.id for claim in group.claims}
    for holding in case.ledger.claims.holdings(case.site):
        for claim in [claim for claim in holding.claims if claim.id in ids]:
            told[claim.id] = _look_at(case, found, holding, claim, force=force)
            case.note(told[claim.id].fate.value, f"{told[claim.id].what}: {told[claim.id].why}")
            if told[claim.id].fate in (Fate.GIVEN_BACK, Fate.RELAXED):
                return True
    return False


def _look_at(case: AnyCase, found: object, holding: Holding, claim: ClaimRecord, *, force: bool) -> Told:
    if why := out_of_reach(case, holding):
        return Told(Fate.NOT_DONE, _what(holding, claim), why)
    verdict = GiveBack("a person asked for it") if force else _verdict(case, found, holding, claim)
    return _carry_out(case, holding, claim, verdict)


def _what(holding: Holding, claim: ClaimRecord) -> str:
    return f"{holding.field} of {holding.target}, {claim.claim}"


def _verdict(case: AnyCase, found: object, holding: Holding, claim: ClaimRecord) -> Keep | GiveBack:
    knob = case.platform.knob(holding.target, holding.field)
    rest = [other.claim for other in holding.claims if other.id != claim.id]
    release = Release(claim, _now(knob, holding), knob.settle(holding.baseline, rest))
    try:
        verdict: Keep | GiveBack = case.runbook.give_back(found, case.platform, release)
    except UnknownReading as unknown:
        return Keep(f"cannot tell whether it is still needed: {unknown}")
    return verdict


def _now(knob: Knob, holding: Holding) -> Levels:
    """What we wrote last. A write of ours may have arrived although whoever made it did not live to hear of it."""
    if holding.pending is None:
        return holding.written
    try:
        live = knob.read().levels
    except Exception:  # giving back reads it once more, and says why it cannot be read
        return holding.written
    return holding.pending if dict(live) == dict(holding.pending) else holding.written


def _carry_out(case: AnyCase, holding: Holding, claim: ClaimRecord, verdict: Keep | GiveBack) -> Told:
    what = _what(holding, claim)
    if isinstance(verdict, Keep):
        return Told(Fate.KEPT, what, verdict.because)
    relaxed = _relaxed(case, holding, claim, verdict.step)
    if relaxed is None:
        given = give_back(case, holding, [claim], {}, Purpose.RESTORE)
    else:
        given = give_back(case, holding, [], {claim.id: relaxed}, Purpose.RESTORE)
    if not given.done:
        return Told(Fate.NOT_DONE, what, given.detail)
    fate = Fate.GIVEN_BACK if relaxed is None else Fate.RELAXED
    return Told(fate, what, f"{given.detail}, because {verdict.because}")


def _relaxed(case: AnyCase, holding: Holding, claim: ClaimRecord, step: int | None) -> int | None:
    """The claim's next value, or None when it can end: the next step would pass what the others leave."""
    if step is None:
        return None
    knob = case.platform.knob(holding.target, holding.field)
    up = claim.claim.bound is Bound.AT_MOST
    following = claim.claim.value + (step if up else -step)
    rest = [other.claim for other in holding.claims if other.id != claim.id]
    without = knob.settle(holding.baseline, rest)
    with_it = knob.settle(holding.baseline, [*rest, Claim(claim.claim.bound, following)])
    return None if dict(without) == dict(with_it) else following


def report(site: str, told: Sequence[Told]) -> str:
    """The restore's report for people."""
    lines = [f"- **{line.fate}** {text(line.what)}: {text(line.why)}" for line in told]
    return "\n".join([f"# Restore at {text(site)}", "", *(lines or ["Nothing is left to give back."])]) + "\n"
