"""Decide: from evidence to ranked options, each with the reason for or against it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tasks.case import Case
from tasks.model.decision import Act, Blind, Decision, HandOver, Healthy, No, Triage, Verdict, Wait, Weighed
from tasks.model.evidence import UnknownReading
from tasks.platform import Platform
from tasks.runbook import Option, Runbook, option_name, option_text

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was tried already in this run: what each option came to, and for which ones we have waited once. `made` is
    how many changes each option has made on behalf of the incident, by other runs too."""

    tried: Mapping[str, str] = field(default_factory=dict)
    waited: frozenset[str] = frozenset()
    made: Mapping[str, int] = field(default_factory=dict)


def weigh(runbook: Runbook[P, F], found: F, platform: P, earlier: Earlier, deployed: Collection[str] = ()) -> Decision:
    """All options of the runbook weighed against the evidence.

    `deployed` are the runbooks that exist in this installation: a hand-over to another one would leave the incident
    to nobody. Then this runbook treats the graver case itself; where the cause lies elsewhere it changes nothing, and
    its failed gate calls a person.
    """
    triage = triaged(runbook, found, platform)
    if isinstance(triage, HandOver) and triage.runbook not in deployed:
        missing = f"{triage.because} ({triage.runbook} is not deployed here)"
        triage = Act(missing) if triage.reason == "graver" else Blind(missing)
    if not isinstance(triage, Act):
        return Decision(triage, ())
    return Decision(
        triage,
        tuple(
            Weighed(option_name(option), option_text(option), _verdict(runbook, option, found, platform, earlier))
            for option in runbook.options
        ),
    )


def triaged(runbook: Runbook[P, F], found: F, platform: P) -> Triage:
    """What the runbook says of the evidence; `Blind` when what it rests on could not be read."""
    try:
        return runbook.triage(found, platform)
    except UnknownReading as unknown:
        return Blind(f"cannot tell whether there is anything to do: {unknown}")


def _verdict(runbook: Runbook[P, F], option: Option[F, P], found: F, platform: P, earlier: Earlier) -> Verdict:
    name, made = option_name(option), earlier.made.get(option_name(option), 0)
    if name in earlier.tried:
        return No(f"tried already: {earlier.tried[name]}")
    if option in runbook.repeats and made >= (most := runbook.repeats[option](platform)):
        return No(f"done {made} times already for this incident, at most {most} are allowed")
    try:
        verdict = option(found, platform)
    except UnknownReading as unknown:
        return No(f"cannot tell: {unknown}", blind=True)
    if isinstance(verdict, Wait) and name in earlier.waited:
        return No(f"waited already: {verdict.because}")
    return verdict


def decide(case: Case[P, F], found: F, earlier: Earlier) -> Decision:
    """Weighs the options, as a task of the run."""
    handing_over = isinstance(triaged(case.runbook, found, case.platform), HandOver)
    deployed = case.deployed() if handing_over else ()
    decision = case.follow("decide", "decide", lambda: weigh(case.runbook, found, case.platform, earlier, deployed))
    case.decisions.append(decision)
    if isinstance(decision.triage, Healthy):
        case.note("decided", f"nothing to do: {decision.because}")
    else:
        case.note("decided", decision.because)
    return decision
