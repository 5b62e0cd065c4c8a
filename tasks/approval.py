"""Approval: a plan is put before a person, in the Prefect UI, on the command line and by API.

The ledger is the authority: an approval is for one plan, by its key, and expires. The form in the UI is one way to
write it there. The run is suspended while it waits: it holds no lock and no process, and is executed again from its top
when there is an answer, so that what it then does rests on a fresh diagnosis.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from prefect.exceptions import ObjectNotFound, Pause, PrefectHTTPStatusError
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput, keyset_from_base_key
from prefect.input.actions import read_flow_run_input
from prefect.runtime import deployment
from pydantic import Field

from tasks import failpoint
from tasks.case import Case
from tasks.ledger import Answer, Approval, Ledger
from tasks.plan import Plan, plan_lines
from tasks.platform import Platform
from tasks.report import text
from tasks.systems.prefect import get_client

P = TypeVar("P", bound=Platform)
F = TypeVar("F")


class Choice(StrEnum):
    """The answer of a person."""

    DECLINE = "decline"
    APPROVE = "approve"


class ApprovePlan(RunInput):
    """The form in the Prefect UI."""

    choice: Choice = Field(
        json_schema_extra={"title": "Your answer", "description": "For this plan only, and until it expires."}
    )
    name: str = Field("", json_schema_extra={"title": "Your name", "description": "For the report: who approved it."})


def can_wait() -> bool:
    """Whether this run can be suspended: only one that was started through its deployment."""
    return bool(deployment.id)


def ask(case: Case[P, F], option: str, plan: Plan) -> Approval:
    """Writes the question down, once, and says how it stands."""
    now = case.ledger.now()
    asked = case.ledger.approvals.ask(
        Approval(
            key=plan.key,
            run=case.run_id,
            incident=case.incident.id if case.incident else None,
            site=case.site,
            runbook=case.runbook.id,
            plan=plan_lines(plan.asking),
            answer=Answer.ASKED,
            asked_at=now,
            expires_at=now + case.platform.pace.approve,
        )
    )
    if asked.asked_at == now:
        case.note("asked", f"{option}: approve plan {plan.key} until {asked.expires_at:%H:%M:%S} UTC")
    failpoint.reach("asked")
    return asked


def suspend(case: Case[P, F], option: str, approval: Approval) -> None:
    """Suspends the run until there is an answer. Does not return: the flow is executed again from its top.

    That the run waits is written down when it does: one that died on the way is taken for dead, and picked up.
    """
    case.let_go()
    case.note("waiting", f"for a person's answer to plan {approval.key}; nothing is held meanwhile")
    failpoint.reach("before suspend")
    # Prefect keeps the question longer than we do: an answer that comes late is refused by us, with a reason.
    timeout = 2 * case.platform.pace.approve.total_seconds() + 300
    try:
        suspend_flow_run(
            wait_for_input=ApprovePlan.with_initial_data(description=question(case, option, approval)),
            timeout=int(timeout),
            key=approval.key,
        )
    except Pause:
        case.ledger.runs.wait(case.run_id, approval.key)
        raise


def question(case: Case[P, F], option: str, approval: Approval) -> str:
    """The plan as the form shows it."""
    lines = "\n".join(f"- {text(line)}" for line in approval.plan)
    first = case.decisions[-1].first if case.decisions else None
    why = first.verdict.because if first else "the run wants it"
    return (
        f"## {text(case.runbook.title)} at {text(case.site)}: {text(option)}\n\n"
        f"Because {text(why)}.\n\n**The plan {approval.key}:**\n\n{lines}\n\n"
        f"It holds until {approval.expires_at:%H:%M:%S} UTC, and only while the plan stays as it is: what is found "
        f"after your answer may lead to another one. On the command line: `runbooks approve {approval.key}`."
    )


def note_answers(ledger: Ledger, run: str) -> None:
    """Takes over into the ledger what a person answered in the form of this run."""
    for approval in ledger.approvals.of_run(run):
        if approval.answer is not Answer.ASKED:
            continue
        given: Any = read_flow_run_input(
            keyset_from_base_key(f"suspended-{approval.key}")["response"], flow_run_id=UUID(run)
        )
        if given:
            form = ApprovePlan(**given)
            ledger.approvals.answer(approval.key, form.choice is Choice.APPROVE, form.name or "somebody in the UI")


def wake(run: str, choice: Choice, name: str) -> bool:
    """Resumes a suspended run; False when it is not suspended (any more)."""
    with get_client(sync_client=True) as client:
        try:
            answer = client.resume_flow_run(UUID(run), run_input={"choice": choice.value, "name": name})
        except PrefectHTTPStatusError as error:
            if error.response.status_code == 404:  # the run was deleted
                return False
            raise
    return answer.status.value == "ACCEPT"


def waits_for_worker(run: str) -> bool:
    """Whether a run that was told to go on does so as soon as a worker takes it."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return False
    return state is not None and state.is_scheduled()
