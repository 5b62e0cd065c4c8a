"""One installation has one ledger: every worker has to use the same.

The ledger's identity is kept in a Prefect variable. A worker on another host with a SQLite file of its own is told so,
instead of acting next to the others without their locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists

from tasks.ledger import Ledger
from tasks.settings import settings
from tasks.systems.prefect import get_client

VARIABLE = "runbooks_ledger"
NO_LEDGER = "NoLedger"  # the state of a flow that cannot do anything without it


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


def not_another(ledger: Ledger) -> None:
    """As `same_ledger`, for who only looks or steers: the ledger of nobody yet does not become the installation's.

    Raises:
        WrongLedger: it is another one.
    """
    with get_client(sync_client=True) as client:
        known = client.read_variable_by_name(VARIABLE)
    if known is not None and known.value != ledger.identity:
        raise WrongLedger(
            f"{ledger.database.name} is not the ledger that this installation uses, so nothing would come of it: set "
            "RUNBOOKS_LEDGER as the workers have it"
        )


@contextmanager
def our_ledger() -> Iterator[Ledger]:
    """The ledger that the settings name, if it is the installation's.

    Raises:
        LedgerUnavailable: it cannot be opened.
        WrongLedger: it is another one.
    """
    with closing(Ledger(settings().ledger)) as ledger:
        same_ledger(ledger)
        yield ledger


def adopt(ledger: Ledger) -> None:
    """Makes this ledger the installation's, instead of the one before."""
    with get_client(sync_client=True) as client:
        if client.read_variable_by_name(VARIABLE) is None:
            client.create_variable(VariableCreate(name=VARIABLE, value=ledger.identity))
        else:
            client.update_variable(VariableUpdate(name=VARIABLE, value=ledger.identity))
