"""Figures: what is open and what came of what, counted in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tasks.ledger.ledger import Ledger
from tasks.ledger.records import Answer, ChangeState
from tasks.ledger.tables import approvals, changes, claims, incidents, pages, runs, strays

Counts = dict[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts by label values. What counts things that are over shrinks when the ledger is pruned."""

    incidents: Counts  # runbook, state: waiting, in hand, taken
    oldest_unclaimed_seconds: float
    claims: Counts  # runbook, overdue: yes, no
    approvals: Counts  # runbook
    strays: int
    held_back: int
    runs: Counts  # runbook, outcome
    changes: Counts  # state
    refusals: Counts  # reason
    pages: Counts  # kind, reached: yes, no


def figures(ledger: Ledger) -> Figures:
    """Counts everything, as it is at one moment.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    now = ledger.database.now()
    is_open = incidents.c.resolved_at.is_(None)
    state = sa.case(
        (incidents.c.taken_by.is_not(None), "taken"), (incidents.c.claimed_by.is_not(None), "in hand"), else_="waiting"
    )
    outcome = sa.case((runs.c.crashed, "Crashed"), else_=sa.func.coalesce(runs.c.outcome, "none"))
    overdue = sa.case((claims.c.due_at < now, "yes"), else_="no")
    waits = is_open & incidents.c.claimed_by.is_(None) & incidents.c.taken_by.is_(None)
    with ledger.database.reading() as tx:
        oldest = tx.execute(sa.select(sa.func.min(incidents.c.received_at)).where(waits)).scalar_one()
        moment = tx.execute(sa.select(now)).scalar_one()
        return Figures(
            incidents=_count(tx, is_open, incidents.c.runbook, state),
            oldest_unclaimed_seconds=(moment - oldest).total_seconds() if oldest else 0.0,
            claims=_count(tx, claims.c.ended_at.is_(None), claims.c.runbook, overdue),
            approvals=_count(tx, approvals.c.answer == Answer.ASKED.value, approvals.c.runbook),
            strays=_number(tx, strays.c.explained_by.is_(None)),
            held_back=_number(tx, strays.c.explained_by.is_not(None), strays.c.resolved_at.is_(None)),
            runs=_count(tx, runs.c.ended_at.is_not(None), runs.c.runbook, outcome),
            changes=_count(tx, sa.true(), changes.c.state),
            refusals=_reasons(tx),
            pages=_count(tx, sa.true(), pages.c.kind, sa.case((pages.c.error == "", "yes"), else_="no")),
        )


def _number(tx: sa.Connection, *which: sa.ColumnElement[bool]) -> int:
    return tx.execute(sa.select(sa.func.count()).select_from(strays).where(*which)).scalar_one()


def _count(tx: sa.Connection, which: sa.ColumnElement[bool], *by: sa.ColumnElement[Any]) -> Counts:
    rows = tx.execute(sa.select(*by, sa.func.count()).where(which).group_by(*by))
    return {tuple(str(value) for value in row[:-1]): row[-1] for row in rows}


def _reasons(tx: sa.Connection) -> Counts:
    """Refused changes by the guard that said no: the word before the colon."""
    counts: Counts = {}
    refused = sa.select(changes.c.detail).where(changes.c.state == ChangeState.REFUSED.value)
    for detail in tx.execute(refused).scalars():
        reason = (detail.partition(":")[0],)
        counts[reason] = counts.get(reason, 0) + 1
    return counts
