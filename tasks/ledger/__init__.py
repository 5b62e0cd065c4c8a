"""The ledger: what happened, written before it happens.

Incidents, runs, changes, claims, locks, approvals and calls to people live here, so that after a crash at any instant
a rerun finds out what was done. A change is written with its intent and baseline before the target is touched, and
with its result after. Tables of our own in a database of our own: a SQLite file on one host, or PostgreSQL for several.
"""

from tasks.ledger.claims import Claimant, NotOurs
from tasks.ledger.database import LedgerUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.locks import LEASE, Busy, LockLost
from tasks.ledger.records import (
    Answer,
    Approval,
    ChangeRecord,
    ChangeState,
    ClaimRecord,
    ClaimState,
    Evidence,
    Held,
    Holding,
    Listed,
    LockRecord,
    Note,
    Page,
    Pause,
    Received,
    RunRecord,
    Stray,
)

__all__ = [
    "LEASE",
    "Answer",
    "Approval",
    "Busy",
    "ChangeRecord",
    "ChangeState",
    "ClaimRecord",
    "ClaimState",
    "Claimant",
    "Evidence",
    "Held",
    "Holding",
    "Ledger",
    "LedgerUnavailable",
    "Listed",
    "LockLost",
    "LockRecord",
    "NotOurs",
    "Note",
    "Page",
    "Pause",
    "Received",
    "RunRecord",
    "Stray",
]
