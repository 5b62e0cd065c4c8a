"""Locks: one remediation per target at a time.

A lock is a row with holder, severity, epoch and expiry by the database's clock. Every change of holder raises the
epoch, and the row stays when the lock is given back, so an epoch never comes again: a holder of old is recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tasks.ledger.columns import take_target, target_is, target_values
from tasks.ledger.database import Database
from tasks.ledger.records import Held, LockRecord
from tasks.ledger.tables import locks
from tasks.model.outcome import Severity
from tasks.model.target import Target

LEASE = timedelta(seconds=30)

_Name = tuple[str, Target]  # the site and the target: what is locked


class Busy(Exception):
    """Another run of the same or a higher severity has a target."""

    def __init__(self, lock: LockRecord) -> None:
        super().__init__(f"{lock.runbook} ({lock.severity}, run {lock.run[:8]}) has {lock.target}")
        self.lock = lock


class LockLost(Exception):
    """A run does not hold what it thought it held. `lock` says who does, if somebody does."""

    def __init__(self, held: Held, lock: LockRecord | None) -> None:
        who = f"{lock.runbook} ({lock.severity}, run {lock.run[:8]}) took it over" if lock else "its lease ran out"
        super().__init__(f"the lock on {held.target} was lost: {who}")
        self.lock = lock


class Locks:
    """The locks in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(
        self,
        run: str,
        runbook: str,
        severity: Severity,
        site: str,
        targets: Sequence[Target],
        lease: timedelta = LEASE,
    ) -> list[Held]:
        """Takes all the targets, or none. What the run has already it keeps, for another lease.

        A target is free when nobody has it, when the lease of its holder ran out, or when the holder is less grave:
        then it is taken over.

        Raises:
            Busy: one of the targets is not free.
        """
        wanted = [(site, target) for target in targets]
        self._make_rows(wanted)
        with self._database.writing() as tx:
            rows = self._kept(tx, wanted)
            for row in rows.values():
                if row.live and row.run != run and not severity.graver_than(Severity(row.severity)):
                    raise Busy(_lock(row))
            mine = {"run": run, "runbook": runbook, "severity": severity.value, "expires_at": self._database.now(lease)}
            held = []
            for target in targets:
                row = rows[site, target]
                epoch = row.epoch if row.run == run else row.epoch + 1
                tx.execute(locks.update().where(*_this(site, target)).values(epoch=epoch, **mine))
                held.append(Held(site, target, epoch))
            return held

    def _make_rows(self, wanted: Iterable[_Name]) -> None:
        """Sees to it that all these targets have a row.

        In a transaction of its own: who kept a later row while it makes an earlier one would not go by the order.
        """
        with self._database.reading() as tx:
            missing = [name for name in _in_order(wanted) if self._row(tx, name) is None]
        if not missing:
            return
        free = {"run": None, "runbook": "", "severity": "", "epoch": 0, "expires_at": self._database.now()}
        with self._database.writing() as tx:
            for site, target in missing:
                new = self._database.insert(locks).values(site=site, **target_values(target), **free)
                tx.execute(new.on_conflict_do_nothing())

    def renew(self, held: Sequence[Held], run: str, lease: timedelta = LEASE) -> bool:
        """Holds for another lease; False when the run has lost one of these, then none is renewed."""
        with self._database.writing() as tx:
            try:
                self.insist(tx, held, run)
            except LockLost:
                return False
            for one in held:
                renewed = locks.update().where(*_this(one.site, one.target))
                tx.execute(renewed.values(expires_at=self._database.now(lease)))
            return True

    def check(self, held: Sequence[Held], run: str) -> None:
        """Looks whether the run still has what it took.

        Raises:
            LockLost: it has lost one of these.
        """
        with self._database.reading() as tx:
            _insist({name: row for name in _names(held) if (row := self._row(tx, name))}, held, run)

    def insist(self, tx: sa.Connection, held: Sequence[Held], run: str) -> None:
        """As `check`, and nobody can take these over until the transaction ends.

        Raises:
            LockLost: it has lost one of these.
        """
        _insist(self._kept(tx, _names(held)), held, run)

    def _kept(self, tx: sa.Connection, wanted: Iterable[_Name]) -> dict[_Name, sa.Row[Any]]:
        """The rows of these targets, kept from others until the transaction ends."""
        rows = {}
        for name in _in_order(wanted):
            self._database.keep(tx, sa.select(locks.c.epoch).where(*_this(*name)))
            # The clock is read by a statement of its own: the one before may have had to wait.
            if row := self._row(tx, name):
                rows[name] = row
        return rows

    def _row(self, tx: sa.Connection, name: _Name) -> sa.Row[Any] | None:
        return tx.execute(sa.select(locks, self._live.label("live")).where(*_this(*name))).one_or_none()

    @property
    def _live(self) -> sa.ColumnElement[bool]:
        """Whether a lock is in force."""
        return sa.and_(locks.c.run.is_not(None), locks.c.expires_at > self._database.now())

    def release(self, run: str) -> None:
        """Gives back all that the run has."""
        with self._database.writing() as tx:
            mine = [_lock(row) for row in tx.execute(locks.select().where(locks.c.run == run))]
            for site, target in _in_order((lock.site, lock.target) for lock in mine):
                tx.execute(locks.update().where(*_this(site, target), locks.c.run == run).values(run=None))

    def of(self, site: str, target: Target) -> LockRecord | None:
        """The lock on a target that is in force."""
        return next(iter(self._in_force(locks.c.site == site, target_is(locks, target))), None)

    def of_run(self, run: str) -> list[LockRecord]:
        """The locks of a run that are in force."""
        return self._in_force(locks.c.run == run)

    def all(self) -> list[LockRecord]:
        """All locks that are in force."""
        return self._in_force()

    def _in_force(self, *which: sa.ColumnElement[bool]) -> list[LockRecord]:
        found = locks.select().where(self._live, *which).order_by(*locks.primary_key)
        with self._database.reading() as tx:
            return [_lock(row) for row in tx.execute(found)]


def _names(held: Sequence[Held]) -> list[_Name]:
    return [(one.site, one.target) for one in held]


def _this(site: str, target: Target) -> tuple[sa.ColumnElement[bool], ...]:
    return locks.c.site == site, target_is(locks, target)


def _in_order(wanted: Iterable[_Name]) -> list[_Name]:
    """Everybody takes rows in the same order, or two would wait for each other."""
    return sorted(set(wanted), key=lambda name: (name[0], name[1].kind, name[1].scope, name[1].name))


def _insist(rows: Mapping[_Name, sa.Row[Any]], held: Sequence[Held], run: str) -> None:
    for one in held:
        row = rows.get((one.site, one.target))
        if row is None or not row.live or row.run != run or row.epoch != one.epoch:
            raise LockLost(one, _lock(row) if row and row.live and row.run != run else None)


def _lock(row: sa.Row[Any]) -> LockRecord:
    values = {name: value for name, value in row._mapping.items() if name != "live"}
    target = take_target(values)
    return LockRecord(target=target, **{**values, "severity": Severity(values["severity"])})
