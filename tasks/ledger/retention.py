"""Retention: what is over and old is deleted. What is open stays, however old it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from tasks.ledger.archive import Rows
from tasks.ledger.ledger import Ledger
from tasks.ledger.pages import about_claim
from tasks.ledger.records import ClaimState
from tasks.ledger.tables import (
    approvals,
    changes,
    claims,
    evidence,
    holdings,
    incidents,
    notes,
    page_turns,
    pages,
    runs,
    strays,
    writes,
)

_BATCH = 200  # incidents or runs in one transaction: others get their turn in between

_in_force = claims.c.state.in_([ClaimState.INTENDED.value, ClaimState.OPEN.value])


def prune(ledger: Ledger, older_than: timedelta) -> Rows:
    """Deletes incidents that were resolved and runs that ended longer ago than this, with all that belongs to them.

    An incident goes with all its runs or stays with all of them. Nothing of an open incident, of a run that has not
    ended or of a claim that is in force is deleted. Returns how many rows of which table went.
    """
    gone: dict[str, int] = {}
    for batch in (_prune_incidents, _prune_runs, _prune_strays):
        while deleted := batch(ledger, older_than):
            for table, rows in deleted.items():
                gone[table] = gone.get(table, 0) + rows
    return gone


def _prune_incidents(ledger: Ledger, older_than: timedelta) -> dict[str, int]:
    before = ledger.database.now(-older_than)
    of_it = runs.c.incident == incidents.c.id
    claimed = sa.exists().where(claims.c.incident == incidents.c.id, _in_force)
    unfinished = sa.exists().where(of_it, sa.not_(_over(before)))
    old = sa.select(incidents.c.id).where(incidents.c.resolved_at < before, sa.not_(claimed), sa.not_(unfinished))
    with ledger.database.writing() as tx:
        ids = tx.execute(old.limit(_BATCH)).scalars().all()
        if not ids:
            return {}
        members = tx.execute(sa.select(runs.c.id).where(runs.c.incident.in_(ids))).scalars().all()
        gone = _delete(tx, incidents, incidents.c.id.in_(ids))
        return gone | _prune_belongings(tx, members, [*ids, *members])


def _prune_runs(ledger: Ledger, older_than: timedelta) -> dict[str, int]:
    """Runs that no incident keeps: started by a person, or to give something back."""
    belongs = sa.exists().where(incidents.c.id == runs.c.incident)
    acted_for = sa.exists().where(changes.c.run == runs.c.id, changes.c.incident == incidents.c.id)
    over = _over(ledger.database.now(-older_than))
    old = sa.select(runs.c.id).where(over, sa.not_(belongs), sa.not_(acted_for))
    with ledger.database.writing() as tx:
        ids = tx.execute(old.limit(_BATCH)).scalars().all()
        return _prune_belongings(tx, ids, ids) if ids else {}


def _prune_strays(ledger: Ledger, older_than: timedelta) -> dict[str, int]:
    """Alerts of nobody that were not heard of for so long."""
    with ledger.database.writing() as tx:
        return _delete(tx, strays, strays.c.last_at < ledger.database.now(-older_than))


def _over(before: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    """Whether a run is over and old, and nothing that it claimed or was about to write is open."""
    claimed = sa.exists().where(claims.c.run == runs.c.id, _in_force)
    writing = sa.exists().where(changes.c.run == runs.c.id, changes.c.id == writes.c.change)
    return sa.and_(runs.c.ended_at.is_not(None), runs.c.ended_at < before, sa.not_(claimed), sa.not_(writing))


def _prune_belongings(tx: sa.Connection, ids: Sequence[str], matters: Sequence[str]) -> dict[str, int]:
    """Deletes runs and all that they left; `matters` are the incidents and runs that people were called about."""
    made = tx.execute(sa.select(claims.c.id).where(claims.c.run.in_(ids))).scalars().all()
    matters = [*matters, *map(about_claim, made)]
    gone: dict[str, int] = {}
    for table in (notes, evidence, changes, claims, approvals):
        gone |= _delete(tx, table, table.c.run.in_(ids))
    gone |= _delete(tx, runs, runs.c.id.in_(ids))
    for table in (pages, page_turns):
        gone |= _delete(tx, table, table.c.incident.in_(matters))
    empty = sa.not_(sa.exists().where(claims.c.holding == holdings.c.id))
    return gone | _delete(tx, holdings, sa.and_(holdings.c.closed_at.is_not(None), empty))


def _delete(tx: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> dict[str, int]:
    rows = tx.execute(table.delete().where(which)).rowcount
    return {table.name: rows} if rows else {}
