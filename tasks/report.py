"""The report of a run: one frozen model, and its two faces: markdown for people, JSON for programs.

Verdict first, then what was seen before and after, what was decided and why not otherwise, what was changed, and
what is still changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.model.outcome import Outcome
from tasks.plot import data_uri, svg
from tasks.redact import redact
from tasks.systems.metrics import Point


class _Frozen(BaseModel):
    """A part of a report. Secrets are taken out of all its texts: they come from logs, tasks and error messages."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*")
    @classmethod
    def _no_secrets(cls, value: Any) -> Any:
        return _redacted(value)


def _redacted(value: Any) -> Any:
    if type(value) is str:
        return redact(value)
    return tuple(_redacted(one) for one in value) if isinstance(value, tuple) else value


class CriterionLine(_Frozen):
    """One criterion of recovery before and after."""

    text: str
    before: str
    after: str
    limit: str
    holds: str
    why: str = ""
    note: str = ""


class ReadingLine(_Frozen):
    """One reading of the first and of the last diagnosis."""

    name: str
    before: str
    after: str
    source: str


class OptionLine(_Frozen):
    """One option with the verdict of each time it was weighed."""

    option: str
    text: str
    verdicts: tuple[str, ...]


class ChangeLine(_Frozen):
    """One change with its state."""

    target: str
    field: str
    purpose: str
    before: str
    after: str
    effect: str
    state: str
    detail: str
    restore: str


class PlanLine(_Frozen):
    """What an option would change right now."""

    option: str
    target: str
    field: str
    diff: str
    refused: str
    key: str


class ClaimLine(_Frozen):
    """A claim on a number that the run made, and what became of it by the end of the run."""

    target: str
    field: str
    claim: str
    state: str
    due_at: datetime


class ApprovalLine(_Frozen):
    """A plan that was put before a person, with the answer."""

    key: str
    plan: tuple[str, ...]
    answer: str
    by: str


class CallLine(_Frozen):
    """A person was told, or should have been (`error`)."""

    at: datetime
    kind: str
    via: str
    error: str


class TimelineLine(_Frozen):
    at: datetime
    kind: str
    text: str


class Report(_Frozen):
    """Everything that a person wants to know about one run."""

    run: str
    runbook: str
    title: str
    source: str
    site: str
    where: str
    incident: str | None
    raised_by: str
    trust: str
    code_version: str
    outcome: Outcome
    verdict: str
    mitigated: bool | None
    started_at: datetime
    ended_at: datetime
    metric: str
    limit: float
    points: tuple[tuple[datetime, float], ...]
    moments: tuple[tuple[datetime, str], ...]
    criteria: tuple[CriterionLine, ...]
    readings: tuple[ReadingLine, ...]
    options: tuple[OptionLine, ...]
    plan: tuple[PlanLine, ...]
    changes: tuple[ChangeLine, ...]
    claims: tuple[ClaimLine, ...] = ()
    approvals: tuple[ApprovalLine, ...] = ()
    calls: tuple[CallLine, ...] = ()
    timeline: tuple[TimelineLine, ...]

    @property
    def still_changed(self) -> tuple[str, ...]:
        """What is left changed at the end of the run, and how each thing is given back."""
        how = {(c.target, c.field): c.restore for c in self.changes}
        open = [
            f"{c.target}, {c.field}: {c.claim}; {how.get((c.target, c.field), 'given back later')}; "
            f"a person is called after {c.due_at:%Y-%m-%d %H:%M} UTC"
            for c in self.claims
            if c.state in ("open", "intended")
        ]
        left = [f"{c.target}, {c.field}: {c.state}, {c.detail}" for c in self.changes if c.state == "effect unknown"]
        return (*open, *left)


def markdown(report: Report, *, picture: bool = True, timeline: bool = True) -> str:
    """The report for people. Everything that came from outside is escaped. A terminal shows it without the picture,
    and without the timeline where it was shown as it grew."""
    blocks = [
        f"# {report.outcome.value}: {text(report.title)} at {text(report.site)}",
        f"**{text(report.verdict)}**",
        text(report.outcome.meaning) + _mitigated(report),
        _facts(report),
        *_section("Is it fixed?", _criteria(report.criteria)),
        *(_plot(report) if picture else ()),
        *_section("What was done, and what is still changed", _changes(report)),
        *_section("Who was asked, and who was called", _people(report)),
        *_section("What was decided, and why", _options(report)),
        *_section("The plan", _plan(report.plan)),
        *_section("What was seen", _readings(report.readings)),
        *_section("Timeline", _timeline(report.timeline) if timeline else ""),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _mitigated(report: Report) -> str:
    if report.outcome is Outcome.NOT_RECOVERED and report.mitigated:
        return " The alert's own condition is gone (mitigated), but not every criterion of recovery holds."
    return ""


def _facts(report: Report) -> str:
    seconds = (report.ended_at - report.started_at).total_seconds()
    return (
        f"Started by {text(report.raised_by)} at {report.started_at:%Y-%m-%d %H:%M:%S} UTC, took {seconds:.0f} s · "
        f"{text(report.where)} · trust: {report.trust} · source: {text(report.source)} · "
        f"run `{report.run[:8]}` · code `{report.code_version}`"
    )


def _section(title: str, body: str) -> Iterable[str]:
    return (f"## {title}", body) if body else ()


def _criteria(lines: Sequence[CriterionLine]) -> str:
    rows = [(line.text, line.before, line.after, line.limit, line.holds or "not judged") for line in lines]
    table = _table(("criterion", "before", "after", "must be", "holds"), rows)
    remarks = [f"- {text(line.text)}: {text(_join(line.why, line.note))}" for line in lines if line.why or line.note]
    return "\n\n".join([table, *(["\n".join(remarks)] if remarks else [])])


def _plot(report: Report) -> Iterable[str]:
    points = [Point(at, value) for at, value in report.points]
    image = svg(points, report.limit, report.metric, report.moments)
    if not image:
        return ()
    legend = "\n".join(f"{number}. {at:%H:%M:%S} {text(what)}" for number, (at, what) in enumerate(report.moments, 1))
    return (f"![{text(report.metric)}]({data_uri(image)})", legend)


def _changes(report: Report) -> str:
    if not report.changes:
        return "Nothing was changed." if report.outcome is not Outcome.PLANNED else ""
    lines = _list(
        f"{text(c.target)}, {text(c.field)}: **{text(c.before)} -> {text(c.after)}** "
        f"({text(_join(c.purpose if c.purpose != 'change' else '', c.effect, c.state, c.detail))})"
        for c in report.changes
    )
    left = [text(line) for line in report.still_changed]
    if not left:
        return lines + "\n\nNothing is left changed."
    return lines + "\n\n**Still changed, and given back when:**\n\n" + _list(left)


def _people(report: Report) -> str:
    asked = [
        f"plan {text(a.key)}: **{text(a.answer)}**{f' by {text(a.by)}' if a.by else ''} ({text('; '.join(a.plan))})"
        for a in report.approvals
    ]
    called = [f"{c.at:%H:%M:%S} {text(c.kind)}: {text(c.error or f'told by {c.via}')}" for c in report.calls]
    return _list([*asked, *called])


def _options(report: Report) -> str:
    return _list(f"**{text(o.text)}**: {text(' · then: '.join(o.verdicts))}" for o in report.options)


def _plan(lines: Sequence[PlanLine]) -> str:
    return _list(
        f"{text(p.option)}: {text(p.target)}, {text(p.field)}: **{text(p.diff)}** "
        f"({text(p.refused or 'would be made')}{f'; plan {text(p.key)}' if p.key else ''})"
        for p in lines
    )


def _readings(lines: Sequence[ReadingLine]) -> str:
    return _list(
        f"**{text(r.name)}**: {text(r.before)}" + (f" · at last: {text(r.after)}" if r.after else "") for r in lines
    )


def _timeline(lines: Sequence[TimelineLine]) -> str:
    return _list(f"{t.at:%H:%M:%S} **{text(t.kind)}** {text(t.text)}" for t in lines)


def _list(items: Iterable[str]) -> str:
    """Lists rather than wide tables: the UI cuts a table off where its column ends."""
    return "\n".join(f"- {item}" for item in items)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(text(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _join(*words: str) -> str:
    return ", ".join(word for word in words if word)


def text(words: str) -> str:
    """Text from outside, made harmless: no secrets, no markup, no links, no table breaks, no lines of its own."""
    flat = " ".join(redact(words).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`|\[\]*_#!~@])", r"\\\1", flat)
    flat = re.sub(r":(?=//)|(?<=www)\.", r"\\\g<0>", flat, flags=re.I)  # an address is made a link without any markup
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", flat)  # no list of its own
