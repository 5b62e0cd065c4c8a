"""The report says the verdict first, and nothing from outside can break it, read by a Markdown parser."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tasks.model.outcome import Outcome
from tasks.report import (
    ApprovalLine,
    CallLine,
    ChangeLine,
    ClaimLine,
    CriterionLine,
    OptionLine,
    PlanLine,
    ReadingLine,
    Report,
    TimelineLine,
    markdown,
    text,
)

START = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)

HOSTILE = [
    "a | b",
    "a \\| b",
    "ends with a backslash \\",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![pixel](https://evil.example/p.png)",
    "[click](https://evil.example)",
    "[click][1]",
    "<https://evil.example>",
    "line one\nline two",
    "line one\r\n| a | b |\n| --- | --- |",
    "paragraph\u2028separator\x85next",
    "\n\n# Heading",
    "**bold** __bold__ ~~gone~~ *a*",
    "&lt;b&gt; &amp; &#124;",
    "- item",
    "+ item",
    "1. item",
    "2) item",
    "---",
    "```\nfence",
    "$x$ {{ template }} {% raw %}",
]


def report(word: str = "word", **other: Any) -> Report:
    """A report in which every text from outside is `word`."""
    values: dict[str, Any] = {
        "run": "0123456789abcdef",
        "runbook": "high_task_queue_depth",
        "title": word,
        "source": word,
        "site": word,
        "where": word,
        "incident": word,
        "raised_by": word,
        "trust": "act",
        "code_version": "0.1.0+abc",
        "outcome": Outcome.NOT_RECOVERED,
        "verdict": word,
        "mitigated": True,
        "started_at": START,
        "ended_at": START + timedelta(seconds=90),
        "metric": word,
        "limit": 800,
        "points": tuple((START + timedelta(seconds=10 * number), 900.0 - number) for number in range(4)),
        "moments": ((START + timedelta(seconds=10), word),),
        "criteria": tuple(
            CriterionLine(text=word, before=word, after=word, limit=word, holds=holds, why=word, note=word)
            for holds in ("yes", "no", "unknown", "")
        ),
        "readings": (ReadingLine(name=word, before=word, after=word, source=word),),
        "options": (OptionLine(option=word, text=word, verdicts=(word, word)),),
        "plan": (PlanLine(option=word, target=word, field=word, diff=word, refused=word, key="k"),),
        "changes": tuple(
            ChangeLine(
                target=word,
                field=word,
                purpose="change",
                before=word,
                after=word,
                effect="reversible",
                state=state,
                detail=word,
                restore=word,
            )
            for state in ("in effect", "refused", "effect unknown")
        ),
        "claims": (ClaimLine(target=word, field=word, claim=word, state="open", due_at=START),),
        "approvals": (ApprovalLine(key=word, plan=(word, word), answer=word, by=word),),
        "calls": (
            CallLine(at=START, kind=word, via=word, error=""),
            CallLine(at=START, kind=word, via="", error=word),
        ),
        "timeline": (TimelineLine(at=START, kind=word, text=word),),
    }
    return Report(**{**values, **other})


def parsed(text: str) -> list[Token]:
    """As GitHub and the Prefect UI read it: with tables, struck text and HTML switched on."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # by itself it drops SVG in a data link
    return parser.parse(text)


def shape(tokens: list[Token]) -> list[str]:
    """The structure of a document, without its words."""
    found = []
    for token in tokens:
        found.append(token.type + token.tag)
        found.extend(child.type for child in token.children or () if child.type != "text")
    return [kind for kind in found if kind not in ("text_special",)]


PLAIN = shape(parsed(markdown(report())))


def check(word: str) -> None:
    tokens = parsed(markdown(report(word)))
    images = [child for t in tokens for child in t.children or () if child.type == "image"]
    assert [str(image.attrs["src"])[:19] for image in images] == ["data:image/svg+xml;"]
    assert shape(tokens) == PLAIN


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_change_nothing_in_the_structure(word: str) -> None:
    check(word)


@given(
    st.lists(
        st.sampled_from(["|", "\\", "`", "<", ">", "[", "]", "(", "!", "*", "_", "\n", "#", "~", "&", "-", "x", " "]),
        max_size=12,
    )
)
def test_no_mixture_of_signs_changes_the_structure(signs: list[str]) -> None:
    check(f"a{''.join(signs)}z")


@given(st.text(max_size=30))
def test_every_text_is_shown_as_it_is(word: str) -> None:
    """Apart from white space, which is folded."""
    tokens = parsed(markdown(report(f"a{word}z")))
    cells = [t for t in tokens if t.type == "inline"]
    said = " ".join(f"a{word}z".replace("\0", "�").split())
    assert any("".join(c.content for c in t.children or ()) == said for t in cells)


@pytest.mark.parametrize(
    "word",
    [
        "http://evil.example/approve",
        "see https://evil.example.",
        "HTTPS://evil.example",
        "ftp://evil.example",
        "www.evil.example",
        "WWW.evil.example",
        "mail me@evil.example",
    ],
)
def test_an_address_in_a_text_does_not_become_a_link(word: str) -> None:
    """GitHub and the Prefect UI make links of addresses; these are how they find them."""
    found = re.compile(r"(?:https?|ftp)://|www\.|[\w.+-]+@\w", re.I)
    assert found.search(word)
    assert not found.search(text(word))
    assert not found.search(markdown(report(word)))
    check(word)


@pytest.mark.parametrize("secret", ["password=hunter2", "https://user:hunter2@db/x", "Authorization: Bearer hunter22"])
def test_no_report_holds_a_secret_wherever_it_stands(secret: str) -> None:
    found = report(f"said {secret}")
    assert "hunter2" not in found.model_dump_json()
    assert "hunter2" not in markdown(found)
    assert "hunter2" not in text(secret)
    plot = re.search(r"base64,([^)]+)", markdown(found))
    assert plot is not None
    assert b"hunter2" not in base64.b64decode(plot[1])


def test_the_verdict_comes_first() -> None:
    lines = markdown(report(title="High task queue depth", site="prod", verdict="1 of 3 criteria hold")).splitlines()
    assert lines[0] == "# NotRecovered: High task queue depth at prod"
    assert lines[2] == "**1 of 3 criteria hold**"


def test_mitigated_and_recovered_are_told_apart() -> None:
    assert "(mitigated), but not every criterion" in markdown(report())
    assert "(mitigated)" not in markdown(report(mitigated=False))
    assert "(mitigated)" not in markdown(report(outcome=Outcome.RECOVERED))


def change(target: str, state: str, purpose: str = "change") -> ChangeLine:
    return ChangeLine(
        target=target,
        field="replicas",
        purpose=purpose,
        before="2",
        after="5",
        effect="reversible",
        state=state,
        detail="nobody knows" if state == "effect unknown" else "",
        restore="when fewer than 500 wait",
    )


def claim(target: str, state: str) -> ClaimLine:
    return ClaimLine(target=target, field="replicas", claim="at least 5", state=state, due_at=START)


def test_what_is_still_changed_is_what_is_claimed_and_what_nobody_knows() -> None:
    states = ("open", "intended", "released", "withdrawn", "left to a person")
    found = report(
        changes=(*(change(state, "in effect") for state in states), change("a job", "effect unknown")),
        claims=tuple(claim(state, state) for state in states),
    )
    assert found.still_changed == (
        "open, replicas: at least 5; when fewer than 500 wait; a person is called after 2026-01-01 03:00 UTC",
        "intended, replicas: at least 5; when fewer than 500 wait; a person is called after 2026-01-01 03:00 UTC",
        "a job, replicas: effect unknown, nobody knows",
    )
    text = markdown(found)
    assert "**Still changed, and given back when:**" in text
    assert "- a job, replicas: effect unknown, nobody knows" in text


def test_nothing_left_changed_is_said() -> None:
    undone = (change("x", "in effect"), change("x", "in effect", purpose="undo"))
    text = markdown(report(changes=undone, claims=(claim("x", "released"),)))
    assert "Nothing is left changed." in text
    assert "(undo, reversible, in effect)" in text
    assert "Nothing was changed." in markdown(report(changes=(), claims=()))


def test_who_was_asked_and_who_was_called() -> None:
    text = markdown(
        report(
            approvals=(ApprovalLine(key="k1", plan=("3 -> 1", "4 -> 2"), answer="approved", by="alice"),),
            calls=(
                CallLine(at=START, kind="failed gate", via="slack", error=""),
                CallLine(at=START, kind="failed gate", via="pagerduty", error="it did not answer"),
            ),
        )
    )
    assert "- plan k1: **approved** by alice (3 -&gt; 1; 4 -&gt; 2)" in text
    assert "- 03:00:00 failed gate: told by slack" in text
    assert "- 03:00:00 failed gate: it did not answer" in text


def test_a_plan_shows_its_key_where_somebody_has_to_approve_it() -> None:
    def line(key: str) -> str:
        plan = PlanLine(option="scale out", target="x", field="replicas", diff="2 -> 5", refused="", key=key)
        return next(line for line in markdown(report(plan=(plan,))).splitlines() if line.startswith("- scale out"))

    assert line("k1") == "- scale out: x, replicas: **2 -&gt; 5** (would be made; plan k1)"
    assert line("") == "- scale out: x, replicas: **2 -&gt; 5** (would be made)"


def test_a_report_of_nothing_has_no_empty_tables() -> None:
    empty: dict[str, Any] = dict.fromkeys(
        ("criteria", "readings", "options", "plan", "changes", "claims", "approvals", "calls", "timeline"), ()
    )
    text = markdown(report(**empty, points=(), moments=()))
    assert "| --- |" not in text
    assert "![" not in text


def test_a_report_survives_being_stored() -> None:
    found = report()
    assert Report.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_sentence_and_a_state(outcome: Outcome) -> None:
    assert outcome.meaning.endswith(".")
    assert markdown(report(outcome=outcome)).startswith("# ")
