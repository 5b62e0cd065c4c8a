"""Who is called, when, and what they are told.

A document's escalation paths are a ladder of levels. When a level's time has come follows from when the incident began
and how soon the document wants a response; nothing here looks at a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tasks.model.outcome import Severity

IMMEDIATELY = timedelta(0)
FIRST_ACTION_WITHIN = timedelta(minutes=5)
"""How soon "respond immediately" wants a first action: the documents give no number, 5 minutes is the tightest of
those that do (catalogue, D034)."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a ladder, in the document's words.

    `after` is how long after the beginning of the incident the level is called. Level 1 has none, because the response
    time decides; a higher level without one is called by a person only.
    """

    number: int
    name: str
    scope: str
    authority: str
    escalate_if: str
    after: timedelta | None = None

    def __str__(self) -> str:
        return f"level {self.number}, {self.name}"


@dataclass(frozen=True, slots=True)
class Contact:
    """Where the people of a level are reached, as the document says it."""

    role: str
    channel: str
    level: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """The escalation paths of one document, lowest level first.

    Raises:
        ValueError: the levels are not numbered 1, 2, 3 ..., or a level's time comes before that of a lower one.
    """

    document: str
    section: str
    levels: tuple[Level, ...]
    contacts: tuple[Contact, ...] = ()

    def __post_init__(self) -> None:
        numbers = [level.number for level in self.levels]
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"levels are numbered from 1 without gaps, not {numbers}")
        if self.levels[0].after is not None:
            raise ValueError("level 1 is called when the response time has run out, not at a time of its own")
        times = [level.after for level in self.levels if level.after is not None]
        if times != sorted(times):
            raise ValueError("a level is called before a lower one")
        if any(contact.level not in numbers for contact in self.contacts):
            raise ValueError("a contact belongs to no level")

    def level(self, number: int) -> Level:
        """The level with this number.

        Raises:
            KeyError: there is none.
        """
        if not 1 <= number <= len(self.levels):
            raise KeyError(number)
        return self.levels[number - 1]

    def contacts_of(self, level: Level) -> tuple[Contact, ...]:
        """Where the people of a level are reached."""
        return tuple(contact for contact in self.contacts if contact.level == level.number)


class NoticeKind(StrEnum):
    """Why somebody is told something."""

    OPENED = "opened"
    RESPONSE_DUE = "response time running out"
    GATE_FAILED = "failed gate"
    APPROVAL_WANTED = "approval wanted"
    HANDED_OVER = "handed to a person"  # the runbook is done with it, and somebody has to take it
    TAKEN = "taken by a person"  # somebody said 'I have it': nobody else needs to be called
    RESTORE_OVERDUE = "restore overdue"
    EFFECT_UNKNOWN = "effect unknown"
    RESOLVED = "resolved"
    CRASHED = "crashed"
    AUTOMATION_DOWN = "automation down"  # nothing may be started, or nothing may be heard: people are on their own
    TEST = "test"  # nothing is wrong: somebody wants to know whether notices arrive


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that people are told.

    `incident` is empty where there is none, as in a run that was started by hand. `dedup_key` is the same for all
    notices about the same matter, so that a receiver folds them and the last one resolves what the first one opened:
    see `incident_key`. `level` is who is called, None where people are only informed. `facts` are names and values in
    the order in which they are shown.

    Raises:
        ValueError: the dedup key is missing, or `at` has no time zone.
    """

    kind: NoticeKind
    title: str
    summary: str
    severity: Severity
    site: str
    dedup_key: str
    at: datetime
    incident: str = ""
    runbook: str = ""
    link: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    level: Level | None = None

    def __post_init__(self) -> None:
        if not self.dedup_key:
            raise ValueError("a notice needs a dedup key: without one every repeat opens an alert of its own")
        if self.at.utcoffset() is None:
            raise ValueError("a notice's time needs a time zone")


def incident_key(incident: str) -> str:
    """The dedup key of all notices about one incident."""
    return f"runbooks/incident/{incident}"


def respond_by(started_at: datetime, respond_within: timedelta) -> datetime:
    """The moment by which somebody must have responded: at once where the document says "immediately" (zero).

    Raises:
        ValueError: the response time is negative.
    """
    if respond_within < IMMEDIATELY:
        raise ValueError(f"a response time is not negative: {respond_within}")
    return started_at + respond_within


def first_action_by(started_at: datetime, respond_within: timedelta) -> datetime:
    """The moment by which something must have been done: within the response time, or within 5 minutes where that is
    "immediately".

    Raises:
        ValueError: the response time is negative.
    """
    return respond_by(started_at, respond_within or FIRST_ACTION_WITHIN)


def due_at(level: Level, started_at: datetime, respond_within: timedelta) -> datetime | None:
    """The moment at which a level is called; None for a level that only a person calls.

    Raises:
        ValueError: the response time is negative.
    """
    if level.number == 1:
        return respond_by(started_at, respond_within)
    return None if level.after is None else started_at + level.after


def due_level(ladder: Ladder, started_at: datetime, now: datetime, respond_within: timedelta) -> Level | None:
    """The highest level whose time has come, or None while nobody is to be called yet.

    The levels below it are to be called too, if they were not yet: where a document wants a response within 30 minutes
    and calls level 2 after 30, both times come at once. A response time of zero calls level 1 also when the clock of
    whoever raised the incident is ahead of ours.

    Raises:
        ValueError: the response time is negative.
    """
    if respond_within == IMMEDIATELY:
        now = max(now, started_at)
    times = [(level, due_at(level, started_at, respond_within)) for level in ladder.levels]
    due = [level for level, at in times if at is not None and at <= now]
    return due[-1] if due else None
