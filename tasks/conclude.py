"""The end of a run: people are called if they have to be, the report is written, the incident is let go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from prefect import State
from prefect.artifacts import Artifact, create_markdown_artifact
from prefect.states import Cancelled, Completed, Failed

from tasks import failpoint
from tasks.alerts import rule_fires
from tasks.case import Case
from tasks.escalate import Matter, call_for_failed_gate
from tasks.ladder import Ending
from tasks.model.incident import Incident, Raiser
from tasks.model.outcome import Outcome
from tasks.platform import Platform
from tasks.redact import redact
from tasks.report import Report, markdown, text
from tasks.reporting import build_report

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


def conclude(case: Case[P, F], ending: Ending) -> State[Any]:
    """Ends the run with its outcome."""
    if ending.outcome.state_type == "FAILED":
        _escalate(case, ending)
    case.note("ended", f"{ending.outcome.value}: {ending.verdict}")
    report = build_report(case, ending.outcome, ending.verdict, ending.gate)
    failpoint.reach("before end")
    case.ledger.runs.end(case.run_id, ending.outcome, ending.verdict, report.model_dump(mode="json"))
    if case.incident is not None:
        _let_go(case, case.incident.id, ending.outcome)
    publish(report)
    return final_state(ending.outcome, report.verdict)


def _escalate(case: Case[P, F], ending: Ending) -> None:
    incident, now = case.incident, datetime.now(UTC)
    matter = Matter(case.site, case.runbook, case.severity, incident.id if incident else "", case.run_id)
    told = case.follow(
        "escalate",
        f"escalate: {case.runbook.ladder.level(1)}",
        lambda: call_for_failed_gate(case.ledger, case.platform, matter, ending.outcome, ending.verdict, incident, now),
    )
    case.note("called", told)


def _let_go(case: Case[P, F], incident: str, outcome: Outcome) -> None:
    """Closes the incident if it is over: measured by this run, or by whoever raised it while the run had it in hand.

    One look that found nothing is no end while the alert's own rule still fires: a value that hovers about its limit is
    below it now and then. Such an incident stays open until its alert is resolved; the watch has it looked at again.
    """
    latest = case.ledger.incidents.get(incident)
    # Another run's incident stays open under its hands, also when this one came too late and steps aside.
    quiet = latest is not None and latest.quiet_at is not None and latest.claimed_by == case.run_id
    if not quiet and outcome is Outcome.NOTHING_TO_DO and _still_fires(case, latest):
        return
    if quiet or outcome in (Outcome.RECOVERED, Outcome.NOTHING_TO_DO):
        case.ledger.incidents.close(incident, datetime.now(UTC))


def _still_fires(case: Case[P, F], incident: Incident | None) -> bool:
    if incident is None or incident.raiser is not Raiser.ALERTMANAGER or not rule_fires(case.platform, incident.alert):
        return False
    case.note("left", "Prometheus still has the alert firing: the incident stays open until it is resolved")
    return True


def publish(report: Report) -> None:
    """Shows the report in the Prefect UI: markdown for people, and its JSON twin."""
    key = f"{report.runbook}-{report.site}".lower().replace("_", "-")
    create_markdown_artifact(
        key=key, markdown=markdown(report), description=f"{report.outcome.value}: {text(report.verdict)}"
    )
    Artifact(type="json", key=f"{key}-json", data=report.model_dump_json()).create()


def final_state(outcome: Outcome, verdict: str) -> State[Any]:
    """The Prefect state of an outcome: its name is the outcome, its type what automations match."""
    make = {"COMPLETED": Completed, "FAILED": Failed, "CANCELLED": Cancelled}[outcome.state_type]
    return make(name=outcome.value, message=redact(verdict))
