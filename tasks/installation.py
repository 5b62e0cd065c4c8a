"""One installation has one ledger: every worker has to use the same.

The ledger's identity is kept in a Prefect variable. A worker on another host with a SQLite file of its own is told so,
instead of acting next to the others without their locks.
"""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists

from tasks.ledger import Ledger

VARIABLE = "runbooks_ledger"


class WrongLedger(Exception):
    """This worker's ledger is not the one that the installation uses."""


def same_ledger(ledger: Ledger) -> None:
    """Holds the ledger's identity against the installation's; the first ledger that is used becomes it.

    Raises:
        WrongLedger: it is another one.
    """
    with get_client(sync_client=True) as client:
        known = client.read_variable_by_name(VARIABLE)
        if known is None:
            try:
                client.create_variable(VariableCreate(name=VARIABLE, value=ledger.identity))
                return
            except ObjectAlreadyExists:  # another worker was first
                known = client.read_variable_by_name(VARIABLE)
    if known is None or known.value != ledger.identity:
        raise WrongLedger(
            "this worker's ledger is not the one that this installation uses, so it would act without the locks of the "
            "others: set RUNBOOKS_LEDGER to the shared PostgreSQL database on every worker, or, if this ledger is to "
            "replace the old one, run `runbooks ledger adopt`"
        )


def adopt(ledger: Ledger) -> None:
    """Makes this ledger the installation's, instead of the one before."""
    with get_client(sync_client=True) as client:
        if client.read_variable_by_name(VARIABLE) is None:
            client.create_variable(VariableCreate(name=VARIABLE, value=ledger.identity))
        else:
            client.update_variable(VariableUpdate(name=VARIABLE, value=ledger.identity))
