"""Approvals: a plan put before a person, under the key of just this plan."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from tasks.ledger.database import Database
from tasks.ledger.records import Answer, Approval
from tasks.ledger.tables import approvals
from tasks.redact import redact


class Approvals:
    """The approvals in the ledger. Each authorises one plan until it expires by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, approval: Approval) -> Approval:
        """Puts a plan before a person, and returns the question as it stands.

        A question that is open, or was answered with yes and holds, is not asked again; an open one of a run that died
        is this run's from now on, so that an answer in the form of this run counts. One that came to nothing is asked
        anew for another run, and not twice in one run.
        """
        values = {**asdict(approval), "plan": [redact(line) for line in approval.plan]}
        new = self._database.insert(approvals).values(**values)
        with self._database.writing() as tx:
            if tx.execute(new.on_conflict_do_nothing().returning(approvals.c.key)).one_or_none() is None:
                known = self._kept(tx, approval.key)
                if self._holds(tx, known) or known.run == approval.run:
                    tx.execute(_this(approval.key).where(_asked).values(run=approval.run))
                    return self._now(tx, known)
                tx.execute(_this(approval.key).values(**values))
            return self._kept(tx, approval.key)

    def get(self, key: str) -> Approval | None:
        """The question with this key."""
        return next(iter(self._read(approvals.c.key == key)), None)

    def of_run(self, run: str) -> list[Approval]:
        """The questions of a run."""
        return self._read(approvals.c.run == run)

    def waiting(self) -> list[Approval]:
        """The questions that can be answered, oldest first."""
        return self._read(_asked, self._in_time)

    def answer(self, key: str, approved: bool, by: str) -> Approval:
        """A person's answer. One that comes too late, or to a question that is not open, changes nothing.

        Raises:
            LookupError: there is no such question.
        """
        answer = Answer.APPROVED if approved else Answer.DECLINED
        given = {"answer": answer.value, "answered_at": self._database.now(), "answered_by": by}
        with self._database.writing() as tx:
            known = self._kept(tx, key)
            tx.execute(_this(key).where(_asked, self._in_time).values(**given))
            return self._now(tx, known)

    def granted(self, key: str) -> bool:
        """Whether a person approved the plan with this key, and the approval holds."""
        return bool(self._read(approvals.c.key == key, approvals.c.answer == Answer.APPROVED.value, self._in_time))

    def expire(self) -> list[Approval]:
        """Marks the questions that nobody answered in time, and returns them."""
        with self._database.writing() as tx:
            return [_approval(row) for row in tx.execute(self._late.returning(*approvals.columns))]

    def withdraw(self, incident: str) -> list[Approval]:
        """Withdraws what was asked on behalf of an incident and what was approved and still holds; returns both."""
        holds = approvals.c.answer.in_([Answer.ASKED.value, Answer.APPROVED.value]), self._in_time
        withdrawn = approvals.update().where(approvals.c.incident == incident, *holds)
        with self._database.writing() as tx:
            values = withdrawn.values(answer=Answer.WITHDRAWN.value)
            return [_approval(row) for row in tx.execute(values.returning(*approvals.columns))]

    @property
    def _in_time(self) -> sa.ColumnElement[bool]:
        return approvals.c.expires_at > self._database.now()

    @property
    def _late(self) -> sa.Update:
        return approvals.update().where(_asked, sa.not_(self._in_time)).values(answer=Answer.EXPIRED.value)

    def _holds(self, tx: sa.Connection, approval: Approval) -> bool:
        this = sa.select(approvals.c.key).where(approvals.c.key == approval.key, self._in_time)
        return approval.answer in (Answer.ASKED, Answer.APPROVED) and tx.execute(this).one_or_none() is not None

    def _now(self, tx: sa.Connection, approval: Approval) -> Approval:
        """The question as it stands at this moment, marked if it ran out."""
        tx.execute(self._late.where(approvals.c.key == approval.key))
        return self._kept(tx, approval.key)

    def _kept(self, tx: sa.Connection, key: str) -> Approval:
        """The question, kept from others until the transaction ends."""
        row = tx.execute(approvals.select().where(approvals.c.key == key).with_for_update()).one_or_none()
        if row is None:
            raise LookupError(f"no plan with the key {key} was put before anybody")
        return _approval(row)

    def _read(self, *which: sa.ColumnElement[bool]) -> list[Approval]:
        with self._database.reading() as tx:
            rows = tx.execute(approvals.select().where(*which).order_by(approvals.c.asked_at, approvals.c.key))
            return [_approval(row) for row in rows]


_asked = approvals.c.answer == Answer.ASKED.value


def _this(key: str) -> sa.Update:
    return approvals.update().where(approvals.c.key == key)


def _approval(row: sa.Row[Any]) -> Approval:
    values = dict(row._mapping)
    return Approval(**{**values, "plan": tuple(values["plan"]), "answer": Answer(values["answer"])})
