"""Claims on numeric fields, and what they rest on.

All claims on one field of one target hang on one holding: the baseline from before the first of them, what was last
written for certain, and what was about to be written when nobody knows yet whether it arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasks.ledger.columns import take_target, target_is, target_values
from tasks.ledger.database import Database
from tasks.ledger.records import ClaimRecord, ClaimState, Holding
from tasks.ledger.tables import claims, holdings, writes
from tasks.model.claim import Bound, Claim, Draft, Levels
from tasks.model.outcome import Severity
from tasks.model.target import Target

_IN_FORCE = (ClaimState.INTENDED.value, ClaimState.OPEN.value)

_in_force = claims.c.state.in_(_IN_FORCE)
_open = holdings.c.closed_at.is_(None)


class NotOurs(Exception):
    """A value that was read is none that we wrote. Either a person set it, or it was read before a write of ours that
    the ledger has learned of since: only another look can tell."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """On whose behalf a claim is made, and when it must have been given back."""

    runbook: str
    severity: Severity
    due_at: datetime


class Claims:
    """The claims in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- while a change is made ----

    def intend(
        self,
        tx: sa.Connection,
        change: int,
        site: str,
        draft: Draft,
        made: Mapping[str, Any],
        claimant: Claimant | None,
        *,
        looked_again: bool,
    ) -> None:
        """Writes down what a change is about to write, with the claim that it makes, if it makes one.

        A live value that is none of ours, and is the same when it is `looked_again` at, was set by a person: then the
        claims on it are left to that person, and a new claim rests on what the person set.

        Raises:
            NotOurs: the value is none of ours, and has to be looked at again.
        """
        claim = draft.claim if claimant else None
        holding = self._holding(tx, site, draft)
        if holding is not None and not self._recognise(tx, holding, draft.before):
            if not looked_again:
                raise NotOurs(f"{draft.field} of {draft.target}")
            if claim is None:
                return  # to give back what is not ours is refused by the guards, and changes nothing here
            self._leave(tx, holding, change, draft.before)
            holding = None
        if claim is not None and claimant is not None:
            holding = holding or self._begin(tx, site, draft)
            self._claim(tx, holding, change, claim, made, claimant)
        if holding is not None:
            tx.execute(writes.insert().values(holding=holding, change=change, levels=dict(draft.after)))

    def _holding(self, tx: sa.Connection, site: str, draft: Draft) -> int | None:
        """The open holding of a field, kept from others until the transaction ends."""
        this = sa.select(holdings.c.id).where(*_field(site, draft.target, draft.field), _open)
        return tx.execute(this.with_for_update()).scalar_one_or_none()

    def _recognise(self, tx: sa.Connection, holding: int, live: Levels) -> bool:
        """Whether the live value is one that we wrote, or were about to: then it has arrived."""
        for row in tx.execute(writes.select().where(writes.c.holding == holding).order_by(writes.c.id.desc())).all():
            if row.levels == dict(live):
                self._wrote(tx, row, holdings.c.id == holding)
                return True
        written = tx.execute(sa.select(holdings.c.written).where(holdings.c.id == holding)).scalar_one()
        return bool(written == dict(live))

    def _leave(self, tx: sa.Connection, holding: int, change: int, live: Levels) -> None:
        found = "somebody else set " + ", ".join(f"{name} to {value}" for name, value in live.items())
        mine = claims.c.holding == holding, _in_force, claims.c.change == change
        self._end(tx, mine, ClaimState.WITHDRAWN, f"not written: {found}")
        self._end(tx, (claims.c.holding == holding, _in_force), ClaimState.LEFT, found)

    def _begin(self, tx: sa.Connection, site: str, draft: Draft) -> int:
        levels = {"baseline": dict(draft.before), "written": dict(draft.before), "written_by": 0}
        values = {"site": site, **target_values(draft.target), "field": draft.field, **levels}
        new = self._database.insert(holdings).values(**values, opened_at=self._database.now()).on_conflict_do_nothing()
        while (begun := self._holding(tx, site, draft)) is None:  # one that somebody else began may be over already
            tx.execute(new)
        return begun

    def _claim(
        self,
        tx: sa.Connection,
        holding: int,
        change: int,
        claim: Claim,
        made: Mapping[str, Any],
        claimant: Claimant,
    ) -> None:
        what = {"bound": claim.bound.value, "value": claim.value}
        if tx.execute(claims.update().where(claims.c.change == change, _in_force).values(**what)).rowcount:
            return  # the same change once more
        new = claims.insert().values(
            holding=holding,
            change=change,
            **what,
            **made,
            state=ClaimState.INTENDED.value,
            runbook=claimant.runbook,
            severity=claimant.severity.value,
            made_at=self._database.now(),
            due_at=claimant.due_at,
            detail="",
        )
        tx.execute(new)

    def confirm(self, change: int) -> None:
        """The write arrived: its claim is open, and what it wrote is what we wrote last. Nothing happens to a change
        that wrote no claimed number."""
        with self._database.writing() as tx:
            row = tx.execute(writes.select().where(writes.c.change == change).order_by(writes.c.id.desc())).first()
            if row is not None:
                # A newer change may have been confirmed before; what that one wrote is there now.
                self._wrote(tx, row, holdings.c.id == row.holding, holdings.c.written_by <= change)

    def _wrote(self, tx: sa.Connection, write: sa.Row[Any], *which: sa.ColumnElement[bool]) -> None:
        tx.execute(holdings.update().where(*which).values(written=write.levels, written_by=write.change))
        tx.execute(writes.delete().where(writes.c.change == write.change))
        claim = tx.execute(claims.select().where(claims.c.change == write.change, _in_force)).one_or_none()
        if claim is None:
            return
        tx.execute(claims.update().where(claims.c.id == claim.id).values(state=ClaimState.OPEN.value))
        older = (
            claims.c.holding == claim.holding,
            claims.c.run == claim.run,
            claims.c.bound == claim.bound,
            claims.c.id < claim.id,
            _in_force,
        )
        self._end(tx, older, ClaimState.RELEASED, "the same run claims another value instead")

    def withdraw(self, change: int) -> None:
        """The write did not arrive and will not: its claim is withdrawn. What the run had claimed before stays."""
        with self._database.writing() as tx:
            mine = claims.c.change == change, claims.c.state == ClaimState.INTENDED.value
            self._end(tx, mine, ClaimState.WITHDRAWN, "it never reached the target")
            tx.execute(writes.delete().where(writes.c.change == change))

    # ---- while claims are given back ----

    def holding(self, site: str, target: Target, field: str) -> Holding | None:
        """What is claimed on a field, if anything is."""
        return next(iter(self._holdings(*_field(site, target, field))), None)

    def holdings(self, site: str | None = None) -> list[Holding]:
        """Everything that is claimed, at one site or everywhere."""
        return self._holdings(*([] if site is None else [holdings.c.site == site]))

    def ours(self, site: str, target: Target, field: str, live: Levels) -> bool:
        """Whether a live value is one that we wrote last, or one of those that we were about to write when nobody
        knows whether they arrived."""
        with self._database.reading() as tx:
            row = tx.execute(holdings.select().where(*_field(site, target, field), _open)).one_or_none()
            if row is None:
                return False
            pending = tx.execute(sa.select(writes.c.levels).where(writes.c.holding == row.id)).scalars()
            return dict(live) in (row.written, *pending)

    def change_value(self, id: int, value: int) -> None:
        """Relaxes a claim, e.g. while it is given back step by step."""
        with self._database.writing() as tx:
            tx.execute(claims.update().where(claims.c.id == id).values(value=value))

    def end(self, ids: Iterable[int], state: ClaimState, detail: str) -> None:
        """Ends claims. A holding without a claim is closed, and kept as history."""
        with self._database.writing() as tx:
            self._end(tx, (claims.c.id.in_(list(ids)), _in_force), state, detail)

    def _end(self, tx: sa.Connection, which: Iterable[sa.ColumnElement[bool]], state: ClaimState, detail: str) -> None:
        touched = sa.select(claims.c.holding).where(*which)
        kept = sa.select(holdings.c.id).where(holdings.c.id.in_(touched)).order_by(holdings.c.id).with_for_update()
        of = list(tx.execute(kept).scalars())
        if not of:
            return
        now = self._database.now()
        tx.execute(claims.update().where(*which).values(state=state.value, ended_at=now, detail=detail))
        still = set(tx.execute(sa.select(claims.c.holding).where(claims.c.holding.in_(of), _in_force)).scalars())
        empty = [holding for holding in of if holding not in still]
        tx.execute(writes.delete().where(writes.c.holding.in_(empty)))
        tx.execute(holdings.update().where(holdings.c.id.in_(empty), _open).values(closed_at=now))

    def in_force_since(self, site: str, since: datetime) -> list[ClaimRecord]:
        """The claims at a site that are in force, or were until after `since`, whatever became of them."""
        return self._claims(holdings.c.site == site, sa.or_(_in_force, claims.c.ended_at > since))

    # ---- the calls to people ----

    def overdue(self) -> list[ClaimRecord]:
        """The claims that should have been given back by now, and about which nobody was called."""
        late = _in_force, claims.c.due_at < self._database.now(), claims.c.paged_at.is_(None)
        return self._claims(*late)

    def paged(self, ids: Iterable[int]) -> None:
        """Notes that somebody was called about these claims."""
        with self._database.writing() as tx:
            tx.execute(claims.update().where(claims.c.id.in_(list(ids))).values(paged_at=self._database.now()))

    # ---- reading ----

    def of_run(self, run: str) -> list[ClaimRecord]:
        """The claims of a run, whatever became of them."""
        return self._claims(claims.c.run == run)

    def of_incident(self, incident: str) -> list[ClaimRecord]:
        """The claims on behalf of an incident, whatever became of them."""
        return self._claims(claims.c.incident == incident)

    def _claims(self, *which: sa.ColumnElement[bool]) -> list[ClaimRecord]:
        with self._database.reading() as tx:
            return _read(tx, *which)

    def _holdings(self, *which: sa.ColumnElement[bool]) -> list[Holding]:
        with self._database.reading() as tx:
            rows = tx.execute(holdings.select().where(_open, *which).order_by(holdings.c.id)).all()
            return [self._read_holding(tx, row) for row in rows]

    def _read_holding(self, tx: sa.Connection, row: sa.Row[Any]) -> Holding:
        last = sa.select(writes.c.levels).where(writes.c.holding == row.id).order_by(writes.c.id.desc()).limit(1)
        values = dict(row._mapping)
        target = take_target(values)
        return Holding(
            row.id,
            row.site,
            target,
            row.field,
            row.baseline,
            row.written,
            tx.execute(last).scalar_one_or_none(),
            tuple(_read(tx, claims.c.holding == row.id, _in_force)),
        )


def _field(site: str, target: Target, field: str) -> tuple[sa.ColumnElement[bool], ...]:
    return holdings.c.site == site, target_is(holdings, target), holdings.c.field == field


def _read(tx: sa.Connection, *which: sa.ColumnElement[bool]) -> list[ClaimRecord]:
    where = [column for column in holdings.columns if column.name in ("site", "field") or column.name[:7] == "target_"]
    found = sa.select(claims, *where).join(holdings).where(*which).order_by(claims.c.id)
    return [_claim(row) for row in tx.execute(found)]


def _claim(row: sa.Row[Any]) -> ClaimRecord:
    values = dict(row._mapping)
    del values["holding"], values["change"]
    target = take_target(values)
    claim = Claim(Bound(values.pop("bound")), values.pop("value"))
    state, severity = ClaimState(values.pop("state")), Severity(values.pop("severity"))
    return ClaimRecord(target=target, claim=claim, state=state, severity=severity, **values)
