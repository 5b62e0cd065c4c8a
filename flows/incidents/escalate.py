"""Escalate: looks after a runbook's run that failed or crashed, so that its incident is never left to nobody.

Started by its trigger for every such run. Mostly there is nothing left to do: a run that fails its gate calls a person
itself, and the watch of the alert intake finds dead runs. What they could not do is done here, once: a dead run's
incident is given to one more run, else a person is called.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from prefect import State, Task, flow
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from flows.catalogue import PLATFORMS, RUNBOOKS
from flows.parameters import shown
from tasks import failpoint
from tasks.aftermath import Aftermath, Fate, after_no_beginning, look_after
from tasks.installation import NO_LEDGER, WrongLedger, our_ledger
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.respond import BAD_INPUT
from tasks.sites import Saved, read_sites
from tasks.systems.prefect import get_client

NAME = "escalate"
LOOKS_EVERY = timedelta(seconds=10)
PATIENCE = timedelta(minutes=5)  # until a call gets through; to know for certain that a run is dead takes two leases

_FALLEN = (StateType.FAILED, StateType.CRASHED)


@flow(name=NAME, flow_run_name="escalate: {run}", description=__doc__)
def escalate(
    run: Annotated[str, shown("Run", "The id of the flow run that failed or crashed. The trigger fills it in.")],
) -> State[Any]:
    """Does what is still missing after a run that failed or crashed, and nothing where nothing is missing."""
    failpoint.reach("before escalate")
    try:
        id = UUID(run)
        with get_client(sync_client=True) as client:
            fallen = client.read_flow_run(id)
    except (ValueError, ObjectNotFound):
        return Failed(name=BAD_INPUT, message=f"there is no flow run {run!r}: give the id that its page shows")
    try:
        with our_ledger() as ledger:
            return conclude(_look_until_done(ledger, fallen))
    except (LedgerUnavailable, WrongLedger) as error:
        return Failed(name=NO_LEDGER, message=str(error))


def _look_until_done(ledger: Ledger, fallen: FlowRun) -> Aftermath:
    """Looks as a task of the flow's run, which Prefect repeats while it is too early or nobody could be reached."""
    saved, since = read_sites(PLATFORMS.values()), ledger.now()

    def look() -> Aftermath | State[Aftermath]:
        found = look_at(ledger, saved, fallen, since)
        return found if found.fate is not Fate.NOT_YET else Failed(name=found.fate.value, message=found.text)

    longest = PATIENCE + max((2 * site.platform.pace.lease for site in saved.sites), default=timedelta(0))
    piece: Any = Task(
        look,
        name="look after",
        task_run_name=f"look after: {fallen.name}",
        retries=int(longest / LOOKS_EVERY),
        retry_delay_seconds=LOOKS_EVERY.total_seconds(),
        persist_result=False,
    )
    state: State[Aftermath] = piece(return_state=True)
    return state.result() if state.is_completed() else Aftermath(Fate.NOBODY_CALLED, state.message or "")


def look_at(ledger: Ledger, saved: Saved, fallen: FlowRun, since: datetime) -> Aftermath:
    """One look at a run that Prefect says to have fallen. `since` is when the first look was."""
    if fallen.state is None or fallen.state.type not in _FALLEN:
        return Aftermath(Fate.NOT_NEEDED, f"it is {fallen.state_name}")
    run = ledger.runs.get(str(fallen.id))
    incident = ledger.incidents.get(str(fallen.parameters.get("incident") or ""))
    whose = run or incident
    if whose is None:
        return Aftermath(Fate.NOT_NEEDED, "it ended before it began, and was started for no incident")
    runbook, site = RUNBOOKS.get(whose.runbook), next((site for site in saved.sites if site.name == whose.site), None)
    if runbook is None:
        return Aftermath(Fate.NOT_NEEDED, f"{whose.runbook} is no runbook")
    if site is None:
        why = saved.broken.get(whose.site, f"there is no site {whose.site!r}")
        return Aftermath(Fate.NOBODY_CALLED, f"nobody is known who could be called: {why}")
    if run is not None:
        return look_after(ledger, runbook, site, run, since)
    assert incident is not None
    return after_no_beginning(ledger, runbook, site, str(fallen.id), incident)


def conclude(found: Aftermath) -> State[Any]:
    """The state of a whole escalation: it fails where a person should have been called and was not."""
    make = Failed if found.fate is Fate.NOBODY_CALLED else Completed
    return make(name=found.fate.value, message=found.text)
