"""A run without Prefect: the pieces of work are done at once, one after the other, with the retries they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from prefect import State
from prefect.states import Completed, Failed

from tasks import restore, switch
from tasks.case import Case, try_again
from tasks.facts import LiveFacts
from tasks.incidents import new_incident
from tasks.ledger import Ledger, RunRecord
from tasks.model.incident import Incident, Raiser
from tasks.model.outcome import Severity, Trust
from tasks.platform import Platform
from tasks.runbook import AnyRunbook
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import HIGH, standin

T = TypeVar("T")

RUN_COUNT = "PREFECT__RUNTIME__TASK_RUN__RUN_COUNT"
SITE = "prod"


@dataclass
class Done:
    """What came of a piece of work, in the words of a Prefect future."""

    state: State[Any]
    value: Any = None
    error: Exception | None = None

    def wait(self, timeout: float | None = None) -> None:
        """Nothing to wait for."""

    def result(self) -> Any:
        """The value of the work, or the error that ended it."""
        if self.error is not None:
            raise self.error
        if self.state.is_failed():
            raise RuntimeError(self.state.message)
        return self.value


class InlineCase(Case[Any, Any]):
    """A case whose pieces of work are done in the thread that asks for them."""

    environment: pytest.MonkeyPatch

    def start(self, stage: str, title: str, work: Callable[[], T | State[T]], *, retries: int = 0) -> Any:
        """Does the work, again when it asks for that and may."""
        again = try_again("", 1, 1)
        assert again is not None
        for attempt in range(1, retries + 2):
            self.environment.setenv(RUN_COUNT, str(attempt))
            try:
                value = work()
            except Exception as error:  # as Prefect does
                return Done(Failed(message=f"{type(error).__name__}: {error}"), error=error)
            if not isinstance(value, State):
                return Done(Completed(), value)
            if value.name != again.name:
                return Done(value, value)
        raise AssertionError("asked to be repeated once more than it had said")


def without_prefect(environment: pytest.MonkeyPatch) -> None:
    """No server is asked for the variable of the kill switch, and no file of this machine is looked for."""
    environment.setattr(switch, "_by_variable", lambda: "")
    environment.setattr(switch, "_by_file", lambda: "")


def inline_case(
    environment: pytest.MonkeyPatch,
    *,
    trust: Trust = Trust.ACT,
    runbook: AnyRunbook = HIGH,
    platform: Platform | None = None,
    ledger: Ledger | None = None,
    run: str = "run-1",
    incident: Incident | None = None,
    rank: Severity | None = None,
) -> InlineCase:
    """A case of a run that has begun, by default with a ledger in memory and at a site in memory."""
    without_prefect(environment)
    ledger, platform = ledger or fresh_ledger(), platform or standin()
    if incident is not None:
        incident, _ = ledger.incidents.open(incident)
        ledger.incidents.claim(incident.id, run)
    begun = begin(ledger, run, runbook, incident)
    id = incident.id if incident else None
    case = InlineCase(
        runbook=runbook,
        platform=platform,
        site=SITE,
        ledger=ledger,
        run_id=run,
        incident=incident,
        allowed=platform.allowed(trust),
        facts=LiveFacts(ledger, SITE, run, id, platform.limits.cooldown),
        deployed=frozenset,
        started_at=begun,
        rank=rank,
    )
    case.environment = environment
    return case


def inline_restores(environment: pytest.MonkeyPatch) -> None:
    """The cases of restores are done in this thread too."""
    without_prefect(environment)

    def inline(**of: Any) -> Case[Any, Any]:
        case = InlineCase(**of)
        case.environment = environment
        return case

    environment.setattr(restore, "Case", inline)


def begin(ledger: Ledger, run: str, runbook: AnyRunbook = HIGH, incident: Incident | None = None) -> datetime:
    """Writes down that a run has begun, and says when."""
    now, why = datetime.now(UTC), incident.id if incident else None
    ledger.runs.begin(RunRecord(run, runbook.id, SITE, why, runbook.severity, Trust.ACT.value, "1", now))
    return now


def incident(runbook: AnyRunbook = HIGH, **other: Any) -> Incident:
    """An incident of a runbook."""
    values: dict[str, Any] = {
        "raiser": Raiser.ALERTMANAGER,
        "alert": runbook.alert,
        "runbook": runbook.id,
        "site": SITE,
        "severity": runbook.severity.value,
        "summary": "900 wait",
        "started_at": datetime.now(UTC),
    }
    return new_incident(**{**values, **other})
