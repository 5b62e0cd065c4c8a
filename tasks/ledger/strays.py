"""Strays: alerts without an incident, because no runbook or no site knows them, or a claim of ours explains them.

They are kept and listed: an alert is never dropped in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from tasks.ledger.database import Database
from tasks.ledger.records import Stray
from tasks.ledger.tables import strays

MOST = 2_000  # what comes after that takes the place of the one that was not heard of for the longest time


def stray_key(labels: dict[str, str]) -> str:
    """The same for the same labels."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode(errors="surrogatepass")).hexdigest()[:24]


class Strays:
    """The strays in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, found: Iterable[Stray]) -> None:
        """Keeps alerts that have no incident; a repeat is counted. Of those that were never seen firing none is kept
        that is over."""
        with self._database.writing() as tx:
            for stray in sorted(found, key=lambda one: one.key):
                again = {
                    "started_at": stray.started_at,  # one that was over and fires again began anew
                    "last_at": stray.last_at,
                    "times": strays.c.times + stray.times,
                    "resolved_at": stray.resolved_at,
                }
                again |= {"why": stray.why, "summary": stray.summary, "explained_by": stray.explained_by}
                if stray.resolved_at is not None:
                    over = {"resolved_at": stray.resolved_at, "last_at": stray.last_at}
                    tx.execute(strays.update().where(strays.c.key == stray.key).values(over))
                    continue
                values = {column.name: getattr(stray, column.name) for column in strays.columns}
                new = self._database.insert(strays).values(values)
                tx.execute(new.on_conflict_do_update(index_elements=["key"], set_=again))
            latest = sa.select(strays.c.key).order_by(strays.c.last_at.desc()).limit(MOST)
            # What is held back is a runbook's concern yet: no flood of others pushes it out.
            tx.execute(strays.delete().where(strays.c.key.not_in(latest), strays.c.explained_by.is_(None)))

    def all(self) -> list[Stray]:
        """All strays, those heard of last first."""
        return self._found(strays.select())

    def firing(self) -> list[Stray]:
        """The strays that are not over, as far as anybody said."""
        return self._found(strays.select().where(strays.c.resolved_at.is_(None)))

    def explained_no_more(self, key: str, why: str) -> None:
        """Says of a stray that was held back that it is not any more, and why it has no incident all the same."""
        with self._database.writing() as tx:
            tx.execute(strays.update().where(strays.c.key == key).values(why=why, explained_by=None))

    def take_off(self, keys: Sequence[str]) -> frozenset[str]:
        """Takes strays off the list that have an incident now; says which were over by then."""
        which = strays.c.key.in_(keys)
        with self._database.writing() as tx:
            over = tx.scalars(sa.select(strays.c.key).where(which, strays.c.resolved_at.is_not(None))).all()
            tx.execute(strays.delete().where(which))
        return frozenset(over)

    def forget(self, keys: Sequence[str]) -> int:
        """Takes strays off the list; says how many."""
        with self._database.writing() as tx:
            return tx.execute(strays.delete().where(strays.c.key.in_(keys))).rowcount

    def _found(self, which: sa.Select[Any]) -> list[Stray]:
        with self._database.reading() as tx:
            rows = tx.execute(which.order_by(strays.c.last_at.desc(), strays.c.key))
            return [Stray(**row._mapping) for row in rows]
