"""Pages: the calls to people."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa

from tasks.ledger.database import Database
from tasks.ledger.records import Page
from tasks.ledger.tables import incidents, page_turns, pages

AGAIN_AFTER = timedelta(minutes=1)  # a call that did not get through is tried again


def about_claim(id: int) -> str:
    """What calls about a claim are kept under, as those about an incident are under its id."""
    return f"claim {id}"


class Pages:
    """The calls to people in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, incident: str, kind: str, level: int, text: str, via: str, error: str) -> Page:
        """Writes down that somebody was called, or with what error the call failed."""
        values = {"incident": incident, "kind": kind, "level": level, "text": text, "via": via, "error": error}
        new = pages.insert().values(at=self._database.now(), **values)
        with self._database.writing() as tx:
            return Page(**tx.execute(new.returning(*pages.columns)).one()._mapping)

    def of(self, incident: str) -> list[Page]:
        """The calls about an incident, in their order."""
        with self._database.reading() as tx:
            rows = tx.execute(pages.select().where(pages.c.incident == incident).order_by(pages.c.id))
            return [Page(**row._mapping) for row in rows]

    def once(self, incident: str, kind: str, level: int, callers: Collection[str]) -> bool:
        """Gives the turn to call to one caller, however many ask.

        Who has it records the call. When no success by one of the channels that call somebody, `callers`, is recorded
        within a minute, the turn is given again.
        """
        now = self._database.now()
        new = self._database.insert(page_turns).values(incident=incident, kind=kind, level=level, taken_at=now)
        this = page_turns.c.incident == incident, page_turns.c.kind == kind, page_turns.c.level == level
        called = sa.exists().where(
            pages.c.incident == incident,
            pages.c.kind == kind,
            pages.c.level == level,
            pages.c.error == "",
            pages.c.via.in_(callers),
        )
        long_ago = page_turns.c.taken_at <= self._database.now(-AGAIN_AFTER)
        with self._database.writing() as tx:
            if tx.execute(new.on_conflict_do_nothing().returning(page_turns.c.level)).one_or_none() is not None:
                return True
            again = page_turns.update().where(*this, long_ago, sa.not_(called)).values(taken_at=now)
            return tx.execute(again).rowcount == 1

    def to_call_off(self, taken: str, resolved: str, within: timedelta) -> list[str]:
        """The incidents that a person has taken, or that are over, for no longer than `within`, about which a channel
        was called that did not take a call of the kind `taken`, or `resolved`, yet."""
        since = self._database.now(-within)
        kind = sa.case((incidents.c.resolved_at.is_not(None), resolved), else_=taken)
        answer = pages.alias("answer")
        same = [answer.c[name] == pages.c[name] for name in ("incident", "level", "via")]
        answered = sa.exists().where(*same, answer.c.kind == kind, answer.c.error == "").correlate(pages, incidents)
        about = pages.c.incident == incidents.c.id, pages.c.via != "", pages.c.kind.not_in([taken, resolved])
        ended = sa.or_(
            incidents.c.resolved_at > since, incidents.c.resolved_at.is_(None) & (incidents.c.taken_at > since)
        )
        which = sa.select(incidents.c.id).where(
            ended, sa.exists().where(*about, sa.not_(answered)).correlate(incidents)
        )
        with self._database.reading() as tx:
            return list(tx.scalars(which.order_by(incidents.c.received_at)))
