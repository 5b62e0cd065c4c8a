"""Changes: written down with their intent before the target is touched, and with their result after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasks.ledger.claims import Claimant, Claims
from tasks.ledger.columns import take_target, target_is, target_values
from tasks.ledger.database import Database
from tasks.ledger.locks import Locks
from tasks.ledger.records import ChangeRecord, ChangeState, Held
from tasks.ledger.tables import changes
from tasks.model.change import Change, Diff, Purpose
from tasks.model.target import Target

_MAY_HAVE_ARRIVED = changes.c.state.in_(
    [
        ChangeState.INTENDED.value,
        ChangeState.APPLIED.value,
        ChangeState.IN_EFFECT.value,
        ChangeState.EFFECT_UNKNOWN.value,
    ]
)


class Changes:
    """The changes in the ledger."""

    def __init__(self, database: Database, locks: Locks, claims: Claims) -> None:
        self._database = database
        self._locks = locks
        self._claims = claims

    def intend(
        self,
        run: str,
        incident: str | None,
        site: str,
        option: str,
        purpose: Purpose,
        change: Change,
        diff: Diff,
        held: Sequence[Held],
        claimant: Claimant | None = None,
        again: int | None = None,
        *,
        looked_again: bool = False,
    ) -> int:
        """Writes down a change before it is made, and the claim that it makes; the number identifies it.

        In one transaction with a look at the locks: who lost one of them in between writes nothing. `again` is the
        number of the same change when an attempt at it was refused by the target and it is made anew; `looked_again`
        says that its diff was read after the ledger had answered `NotOurs`, and found the same.

        Raises:
            LockLost: the run does not hold these locks any more.
            NotOurs: what the diff found is none of our values. Nothing is written down.
        """
        written = {"before": diff.before, "after": diff.after, "detail": diff.note}
        made = {"run": run, "incident": incident, "option": option}
        with self._database.writing() as tx:
            self._locks.insist(tx, held, run)
            if again is None:
                state = {"state": ChangeState.INTENDED.value, "group": diff.around.group}
                again = self._insert(tx, site, purpose, change, **made, **written, **state)
            else:
                tx.execute(changes.update().where(changes.c.id == again).values(**written))
            if diff.draft is not None:
                makes = claimant if purpose is Purpose.CHANGE else None
                self._claims.intend(tx, again, site, diff.draft, made, makes, looked_again=looked_again)
        return again

    def refused(
        self,
        run: str,
        incident: str | None,
        site: str,
        option: str,
        purpose: Purpose,
        change: Change,
        diff: Diff | None,
        why: str,
    ) -> int:
        """Writes down that a change was refused, and why."""
        diff = diff or Diff("unread", change.wanted)
        made = {"run": run, "incident": incident, "option": option, "before": diff.before, "after": diff.after}
        how = {"state": ChangeState.REFUSED.value, "detail": why, "group": diff.around.group}
        with self._database.writing() as tx:
            return self._insert(tx, site, purpose, change, **made, **how, ended_at=self._database.now())

    def _insert(self, tx: sa.Connection, site: str, purpose: Purpose, change: Change, **values: Any) -> int:
        new = changes.insert().values(
            site=site,
            purpose=purpose.value,
            **target_values(change.target),
            field=change.field,
            wanted=change.wanted,
            effect=change.effect.value,
            restore=change.restore,
            intended_at=self._database.now(),
            **values,
        )
        return int(tx.execute(new.returning(changes.c.id)).scalar_one())

    def settle(self, id: int, state: ChangeState, detail: str) -> None:
        """Writes down how far a change got."""
        ended = self._database.now() if state not in (ChangeState.INTENDED, ChangeState.APPLIED) else None
        with self._database.writing() as tx:
            settled = changes.update().where(changes.c.id == id)
            tx.execute(settled.values(state=state.value, detail=detail, ended_at=ended))

    def of_run(self, run: str) -> list[ChangeRecord]:
        """The changes of a run in the order in which they were intended."""
        return self._read(changes.c.run == run)

    def of_incident(self, incident: str) -> list[ChangeRecord]:
        """The changes on behalf of an incident in the order in which they were intended."""
        return self._read(changes.c.incident == incident)

    def of_target(self, site: str, target: Target, field: str, since: datetime) -> list[ChangeRecord]:
        """What was intended with a field of a target since then, unless it is known not to have arrived."""
        this = changes.c.site == site, target_is(changes, target), changes.c.field == field
        return self._read(*this, changes.c.intended_at >= since, _MAY_HAVE_ARRIVED)

    def count(self, site: str, since: datetime) -> int:
        """How many changes were made at a site since then, or may have been. To give back is not counted."""
        made = changes.c.site == site, changes.c.intended_at >= since, changes.c.purpose == Purpose.CHANGE.value
        with self._database.reading() as tx:
            found = sa.select(sa.func.count()).select_from(changes).where(*made, _MAY_HAVE_ARRIVED)
            return int(tx.execute(found).scalar_one())

    def _read(self, *which: sa.ColumnElement[bool]) -> list[ChangeRecord]:
        with self._database.reading() as tx:
            return [_change(row) for row in tx.execute(changes.select().where(*which).order_by(changes.c.id))]


def _change(row: sa.Row[Any]) -> ChangeRecord:
    values = dict(row._mapping)
    target = take_target(values)
    purpose, state = Purpose(values.pop("purpose")), ChangeState(values.pop("state"))
    return ChangeRecord(target=target, purpose=purpose, state=state, **values)
