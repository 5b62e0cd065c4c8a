"""From a run to its report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from tasks.case import Case, Taken
from tasks.model.criterion import Sample
from tasks.model.decision import No, Verdict, Wait, Yes
from tasks.model.evidence import Reading
from tasks.model.outcome import Outcome
from tasks.platform import Platform
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
)
from tasks.systems.prometheus import promql
from tasks.validate import Gate
from tasks.version import code_version

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


def build_report(case: Case[P, F], outcome: Outcome, verdict: str, gate: Gate | None) -> Report:
    """Everything about the run as one value."""
    trigger = case.trigger
    return Report(
        run=case.run_id,
        runbook=case.runbook.id,
        title=case.runbook.title,
        source=case.runbook.source,
        site=case.site,
        where=case.platform.where(),
        incident=case.incident.id if case.incident else None,
        raised_by=_raised_by(case),
        trust=case.allowed.trust.value,
        code_version=code_version(),
        outcome=outcome,
        verdict=verdict,
        mitigated=None if not case.points else not trigger.broken.holds(case.points[-1].value),
        started_at=case.started_at,
        ended_at=datetime.now(UTC),
        metric=f"{promql(trigger.question)} ({trigger.text})",
        limit=trigger.broken.bound,
        points=tuple(
            (point.at, point.value) for point in sorted([*case.past, *case.points], key=lambda point: point.at)
        ),
        moments=tuple(case.moments),
        criteria=_criteria(case, gate),
        readings=_readings(case),
        options=_options(case),
        plan=tuple(
            PlanLine(
                option=option,
                target=str(planned.change.target),
                field=planned.change.field,
                diff=str(planned.diff or "unread"),
                refused=str(planned.refused or ""),
                key=planned.key,
            )
            for option, planned in case.plan
        ),
        changes=tuple(
            ChangeLine(
                target=str(c.target),
                field=c.field,
                purpose=c.purpose.value,
                before=c.before,
                after=c.after,
                effect=c.effect,
                state=c.state.value,
                detail=c.detail,
                restore=c.restore,
            )
            for c in case.ledger.changes.of_run(case.run_id)
        ),
        claims=tuple(
            ClaimLine(
                target=str(c.target),
                field=c.field,
                claim=str(c.claim),
                state=c.state.value,
                due_at=c.due_at,
            )
            for c in case.ledger.claims.of_run(case.run_id)
        ),
        approvals=tuple(
            ApprovalLine(key=a.key, plan=a.plan, answer=a.answer.value, by=a.answered_by)
            for a in case.ledger.approvals.of_run(case.run_id)
        ),
        calls=tuple(
            CallLine(at=p.at, kind=p.kind, via=p.via, error=p.error)
            for p in case.ledger.pages.of(case.incident.id if case.incident else case.run_id)
        ),
        timeline=tuple(TimelineLine(at=n.at, kind=n.kind, text=n.text) for n in case.ledger.runs.notes(case.run_id)),
    )


def _raised_by(case: Case[P, F]) -> str:
    if case.incident is None:
        return "a person"
    return f"{case.incident.alert} ({case.incident.raiser.value})"


def _criteria(case: Case[P, F], gate: Gate | None) -> tuple[CriterionLine, ...]:
    lines = []
    for criterion in case.criteria:
        before: Sample | None = case.before.get(criterion.id)
        after: Sample | None = gate.latest.get(criterion.id) if gate else None
        lines.append(
            CriterionLine(
                text=criterion.text,
                before=before.shown if before else "",
                after=after.shown if after else "",
                limit=str(criterion.limit),
                holds=after.holds.value if after else "",
                why=after.why if after else "",
                note=after.note if after else "",
            )
        )
    return tuple(lines)


def _readings(case: Case[P, F]) -> tuple[ReadingLine, ...]:
    if not case.rounds:
        return ()
    last = {taken.name: taken for taken in case.rounds[-1]} if len(case.rounds) > 1 else {}
    return tuple(
        ReadingLine(
            name=taken.name,
            before=str(taken.reading),
            after=str(last[taken.name].reading) if taken.name in last else "",
            source=_source(taken, last.get(taken.name)),
        )
        for taken in case.rounds[0]
    )


def _source(*takes: Taken | None) -> str:
    readings = [take.reading for take in takes if take is not None]
    return next((r.source for r in readings if isinstance(r, Reading)), "")


def _options(case: Case[P, F]) -> tuple[OptionLine, ...]:
    verdicts: dict[str, tuple[str, list[str]]] = {}
    for decision in case.decisions:
        for weighed in decision.weighed:
            said = _words(weighed.verdict, taken=weighed is decision.first)
            verdicts.setdefault(weighed.option, (weighed.text, []))[1].append(said)
    return tuple(
        OptionLine(option=option, text=text, verdicts=tuple(said)) for option, (text, said) in verdicts.items()
    )


def _words(verdict: Verdict, *, taken: bool) -> str:
    match verdict:
        case Yes():
            return f"{'first that applies' if taken else 'would apply too'}: {verdict.because}"
        case No():
            return f"no: {verdict.because}"
        case Wait():
            return f"wait: {verdict.because}"
