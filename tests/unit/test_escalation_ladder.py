"""Who is called when: the document's ladder, and the times that follow from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.message_bus.escalation import LADDER
from flows.message_bus.platform import DOCUMENT
from tasks.model.escalation import (
    Contact,
    Ladder,
    Level,
    Notice,
    NoticeKind,
    due_at,
    due_level,
    first_action_by,
    incident_key,
    respond_by,
)
from tasks.model.outcome import Severity

CATALOGUE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "catalogue" / "message-bus-orchestration.yaml").read_text()
)
BEGAN = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


# ---- the document --------------------------------------------------------------------------------------------------


def test_the_ladder_is_the_documents() -> None:
    assert (LADDER.document, LADDER.section) == (DOCUMENT, "Escalation Paths")
    assert [str(level) for level in LADDER.levels] == [
        "level 1, On-Call Engineer",
        "level 2, Platform Team Lead",
        "level 3, Engineering Management",
    ]
    assert [level.after for level in LADDER.levels] == [None, timedelta(minutes=30), None]


def test_level_2_is_called_after_what_level_1_is_told() -> None:
    first, second = LADDER.level(1), LADDER.level(2)
    assert second.after is not None
    assert f"persists >{second.after / MINUTE:g} minutes" in first.escalate_if
    assert second.after == CATALOGUE["escalate_after_minutes"] * MINUTE, "the limit of an attempt at recovery"


def test_only_level_2_may_deploy_code() -> None:
    assert [level.number for level in LADDER.levels if "code" in level.authority] == [2]


def test_every_level_can_be_reached() -> None:
    channels = [[contact.channel for contact in LADDER.contacts_of(level)] for level in LADDER.levels]
    assert channels == [
        ["PagerDuty rotation"],
        ["#platform-team Slack channel"],
        ["manager@waooaw.com", "#incidents Slack channel"],
    ]


# ---- when ----------------------------------------------------------------------------------------------------------

# response time in minutes, minutes since the beginning -> number of the level
DUE = [
    ("immediately: at once", 0, 0, 1),
    ("immediately, by a clock ahead of ours", 0, -7, 1),
    ("immediately, a while later", 0, 29.99, 1),
    ("immediately, persisting", 0, 30, 2),
    ("in 15 minutes: at first nobody", 15, 0, None),
    ("in 15 minutes: not yet", 15, 14.99, None),
    ("in 15 minutes: run out", 15, 15, 1),
    ("in 15 minutes: persisting", 15, 30, 2),
    ("in 30 minutes: both at once", 30, 30, 2),
    ("in 30 minutes: not yet", 30, 29.99, None),
    ("later than level 2", 45, 31, 2),
    ("before the beginning", 15, -1, None),
    ("level 3 is called by people", 0, 10_000, 2),
]


@pytest.mark.parametrize(("within", "passed", "number"), [row[1:] for row in DUE], ids=[row[0] for row in DUE])
def test_due_level(within: float, passed: float, number: int | None) -> None:
    level = due_level(LADDER, BEGAN, BEGAN + passed * MINUTE, within * MINUTE)
    assert (level.number if level else None) == number


def test_level_1_is_called_at_the_moment_by_which_somebody_must_respond() -> None:
    by = respond_by(BEGAN, 15 * MINUTE)
    assert by == BEGAN + 15 * MINUTE
    assert due_level(LADDER, BEGAN, by, 15 * MINUTE) is LADDER.level(1)
    assert due_level(LADDER, BEGAN, by - timedelta(microseconds=1), 15 * MINUTE) is None


def test_immediately_pages_at_once_and_wants_an_action_within_5_minutes() -> None:
    assert respond_by(BEGAN, timedelta(0)) == BEGAN
    assert first_action_by(BEGAN, timedelta(0)) == BEGAN + 5 * MINUTE
    assert first_action_by(BEGAN, 15 * MINUTE) == BEGAN + 15 * MINUTE


def test_a_level_without_a_time_is_never_due() -> None:
    assert [due_at(level, BEGAN, 15 * MINUTE) for level in LADDER.levels] == [
        BEGAN + 15 * MINUTE,
        BEGAN + 30 * MINUTE,
        None,
    ]


def test_a_negative_response_time_is_none() -> None:
    with pytest.raises(ValueError, match="not negative"):
        due_level(LADDER, BEGAN, BEGAN, -MINUTE)


_MINUTES = st.integers(0, 500).map(lambda minutes: minutes * MINUTE)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    times = sorted(draw(st.lists(_MINUTES, max_size=4)))
    afters = [None, *times, *([None] * draw(st.integers(0, 2)))]
    return Ladder("d", "s", tuple(Level(n, f"L{n}", "", "", "", after) for n, after in enumerate(afters, 1)))


@given(ladders(), _MINUTES, _MINUTES, _MINUTES)
def test_the_ladder_is_only_climbed(ladder: Ladder, within: timedelta, one: timedelta, other: timedelta) -> None:
    sooner, later = sorted((one, other))

    def number(passed: timedelta) -> int:
        level = due_level(ladder, BEGAN, BEGAN + passed, within)
        return level.number if level else 0

    assert number(sooner) <= number(later)
    assert (number(sooner) == 0) <= (sooner < within), "once the response time has run out, somebody is called"


@given(ladders(), _MINUTES, _MINUTES)
def test_who_is_due_depends_on_moments_and_not_on_time_zones(
    ladder: Ladder, within: timedelta, passed: timedelta
) -> None:
    there = timezone(timedelta(hours=5, minutes=45))
    now = BEGAN + passed
    assert due_level(ladder, BEGAN, now, within) == due_level(ladder, BEGAN.astimezone(there), now, within)


# ---- what cannot be ------------------------------------------------------------------------------------------------

ONE, TWO = LADDER.level(1), LADDER.level(2)


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        ((), "numbered from 1"),
        ((TWO,), "numbered from 1"),
        ((ONE, ONE), "numbered from 1"),
        ((replace(ONE, after=MINUTE),), "response time"),
        ((ONE, TWO, replace(TWO, number=3, after=MINUTE)), "before a lower one"),
    ],
)
def test_a_ladder_that_is_none(levels: tuple[Level, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ladder("d", "s", levels)


def test_a_contact_of_nobody() -> None:
    with pytest.raises(ValueError, match="belongs to no level"):
        Ladder("d", "s", (ONE,), (Contact("Platform Team", "#platform-team", level=2),))


@pytest.mark.parametrize("number", [0, 4, -1])
def test_there_is_no_such_level(number: int) -> None:
    with pytest.raises(KeyError):
        LADDER.level(number)


def test_a_notice_says_what_it_is_about_and_when() -> None:
    notice = Notice(NoticeKind.OPENED, "t", "s", Severity.INFO, "production", incident_key("4f0c"), BEGAN)
    assert notice.dedup_key == "runbooks/incident/4f0c"
    with pytest.raises(ValueError, match="dedup key"):
        replace(notice, dedup_key="")
    with pytest.raises(ValueError, match="time zone"):
        replace(notice, at=datetime(2026, 3, 14))
