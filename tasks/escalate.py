"""Escalate: people are called, each about one matter once, whatever process finds that it is time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect.settings import PREFECT_UI_URL

from tasks import failpoint
from tasks.ledger import ChangeState, Ledger
from tasks.ledger.pages import about_claim
from tasks.model.escalation import Level, Notice, NoticeKind, due_level, incident_key, respond_by
from tasks.model.evidence import Unknown
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Severity
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tasks.systems.errors import explain

TOLD_ALREADY = "told already"
NOBODY = "nobody could be told: the site has no contacts (see its block)"


@dataclass(frozen=True, slots=True)
class Matter:
    """What people are told about: an incident, a run that a person started (`incident` empty), or a claim that is
    still held."""

    site: str
    runbook: AnyRunbook
    severity: Severity
    incident: str
    run: str = ""
    claim: int = 0

    @property
    def key(self) -> str:
        if self.claim:  # an incident that is over must not silence the call about what it left
            return f"runbooks/claim/{self.claim}"
        return incident_key(self.incident) if self.incident else f"runbooks/run/{self.run}"

    @property
    def id(self) -> str:
        """What calls are counted by."""
        return about_claim(self.claim) if self.claim else self.incident or self.run


def matter_of(incident: Incident, runbook: AnyRunbook) -> Matter:
    return Matter(incident.site, runbook, Severity(incident.severity), incident.id, incident.claimed_by or "")


def run_page(run: str) -> str:
    """The page of a run in the Prefect UI, or nothing where its address is not known."""
    base = PREFECT_UI_URL.value()
    return f"{base}/runs/flow-run/{run}" if base and run else ""


def tell(
    ledger: Ledger,
    platform: Platform,
    matter: Matter,
    kind: NoticeKind,
    level: Level | None,
    summary: str,
    now: datetime,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Tells the level's channels, and those that are told everything, unless somebody did already; says what came of
    it. A channel that does not take it does not keep the others from being told.

    When none of the level's own channels took it, nobody was called: that is tried again after a minute, and the
    channels that took it are not told again.
    """
    number = level.number if level else 0
    if not any(_channels(platform, number)):
        if all((page.kind, page.level) != (kind.value, number) for page in ledger.pages.of(matter.id)):
            ledger.pages.record(matter.id, kind.value, number, summary, "", NOBODY)
        return f"{kind}: {NOBODY}"
    if not ledger.pages.once(matter.id, kind.value, number, _callers(platform, number)):
        return f"{kind}: {TOLD_ALREADY}"
    notice = Notice(
        kind=kind,
        title=f"{matter.runbook.title} at {matter.site}",
        summary=summary,
        severity=matter.severity,
        site=matter.site,
        dedup_key=matter.key,
        at=now,
        incident=matter.incident,
        runbook=matter.runbook.id,
        link=run_page(matter.run),
        facts=tuple((facts or {}).items()),
        level=level,
    )
    know = _told(ledger, matter, kind, number)
    failpoint.reach("before tell")
    told = [
        _send(ledger, platform, matter, notice, number, channel)
        for channel in _channels(platform, number)
        if platform.contacts[channel - 1].name not in know
    ]
    failpoint.reach("after tell")
    return f"{kind}{f' to {level}' if level else ''}: " + "; ".join(told)


def _channels(platform: Platform, level: int) -> Sequence[int]:
    """The numbers of the channels, counted from 1."""
    return [number for number, channel in enumerate(platform.contacts, 1) if channel.level in (0, level)]


def _callers(platform: Platform, level: int) -> frozenset[str]:
    """The channels whose success is the call: those of the level itself. Where it has none of its own, those that are
    told everything have to do."""
    own = frozenset(channel.name for channel in platform.contacts if channel.level == level)
    return own or frozenset(channel.name for channel in platform.contacts if channel.level == 0)


def _told(ledger: Ledger, matter: Matter, kind: NoticeKind, level: int) -> frozenset[str]:
    """The channels that took this already."""
    pages = ledger.pages.of(matter.id)
    return frozenset(page.via for page in pages if (page.kind, page.level, page.error) == (kind.value, level, ""))


def _send(ledger: Ledger, platform: Platform, matter: Matter, notice: Notice, level: int, number: int) -> str:
    channel = platform.contacts[number - 1]
    try:
        notifier = channel.notifier()
        said = notifier.send(notice)
    except Exception as error:  # whatever went wrong, the others are told, and the report says who was not
        why = Unknown.because(explain(error)).reason
        ledger.pages.record(matter.id, notice.kind.value, level, notice.summary, channel.name, why)
        return f"{channel.name} was not reached: {why}"
    ledger.pages.record(matter.id, notice.kind.value, level, notice.summary, notifier.name, "")
    return f"{notifier.name}: {said}"


def was_called(ledger: Ledger, platform: Platform, matter: Matter, *kinds: NoticeKind) -> bool:
    """Whether a call of one of these kinds got through to somebody who is called, not only told."""
    pages = (page for page in ledger.pages.of(matter.id) if page.kind in kinds and not page.error)
    return any(page.via in _callers(platform, page.level) for page in pages)


def call_for_failed_gate(
    ledger: Ledger,
    platform: Platform,
    matter: Matter,
    outcome: Outcome,
    verdict: str,
    incident: Incident | None,
    now: datetime,
) -> str:
    """A failed gate calls level 1 at once, with what is left of the response time."""
    changes = ledger.changes.of_run(matter.run)
    unknown = any(change.state is ChangeState.EFFECT_UNKNOWN for change in changes)
    kind = NoticeKind.EFFECT_UNKNOWN if unknown else NoticeKind.GATE_FAILED
    facts = {
        "verdict": verdict,
        "response": time_left(matter.runbook, incident, now),
        "done": "; ".join(f"{c.target}, {c.field}: {c.before} -> {c.after} ({c.state})" for c in changes) or "nothing",
    }
    level = matter.runbook.ladder.level(1)
    return tell(ledger, platform, matter, kind, level, f"{outcome.value}: {verdict}", now, facts)


def call_who_is_due(
    ledger: Ledger, platform: Platform, runbook: AnyRunbook, incident: Incident, now: datetime
) -> list[str]:
    """Calls every level whose time has come, unless a person has the incident. A response time of zero calls level 1
    at once."""
    if incident.taken_by or incident.resolved_at:
        return []
    due = due_level(runbook.ladder, incident.started_at, now, runbook.respond_within)
    if due is None:
        return []
    matter = matter_of(incident, runbook)
    levels = [level for level in runbook.ladder.levels if level.number <= due.number]
    facts = {"raised": f"{incident.started_at:%Y-%m-%d %H:%M:%S} UTC", "alert": incident.alert}
    return [
        tell(ledger, platform, matter, NoticeKind.RESPONSE_DUE, level, incident.summary, now, facts) for level in levels
    ]


def tell_who_was_called(
    ledger: Ledger, platform: Platform, runbook: AnyRunbook, incident: Incident, kind: NoticeKind, now: datetime
) -> None:
    """Tells those who were called about an incident that a person has it, or that it is over: their pagers fall
    silent."""
    summary = f"{incident.taken_by} has it" if kind is NoticeKind.TAKEN else "the incident is over"
    for number in {page.level for page in ledger.pages.of(incident.id) if page.via}:
        level = runbook.ladder.level(number) if number else None
        tell(ledger, platform, matter_of(incident, runbook), kind, level, summary, now)


def time_left(runbook: AnyRunbook, incident: Incident | None, now: datetime) -> str:
    """What is left of the response time, in words."""
    if incident is None:
        return "no response time: started by a person"
    left = respond_by(incident.started_at, runbook.respond_within) - now
    if left <= timedelta(0):
        return "none of the response time is left"
    minutes = runbook.respond_within.total_seconds() / 60
    return f"{left.total_seconds() / 60:.0f} of {minutes:.0f} min are left to respond"
