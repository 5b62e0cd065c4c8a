"""Pauses: the kill switch, for one site or for all."""

from __future__ import annotations

from tasks.ledger.database import Database
from tasks.ledger.records import Pause
from tasks.ledger.tables import pauses

EVERYWHERE = ""


class Pauses:
    """The pauses in the ledger. A site may be paused while everything is; both have to be ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, site: str, reason: str, by: str) -> Pause:
        """Stops automation at a site, or everywhere; who paused last and why is what is kept."""
        why = {"reason": reason, "by": by, "at": self._database.now()}
        new = self._database.insert(pauses).values(site=site, **why)
        with self._database.writing() as tx:
            stored = new.on_conflict_do_update(index_elements=[pauses.c.site], set_=why).returning(*pauses.columns)
            return Pause(**tx.execute(stored).one()._mapping)

    def resume(self, site: str) -> bool:
        """Ends a pause; False when there was none."""
        with self._database.writing() as tx:
            return tx.execute(pauses.delete().where(pauses.c.site == site)).rowcount == 1

    def active(self, site: str) -> Pause | None:
        """The pause that holds at a site: that of everything, or its own."""
        found = pauses.select().where(pauses.c.site.in_([EVERYWHERE, site])).order_by(pauses.c.site).limit(1)
        with self._database.reading() as tx:
            row = tx.execute(found).one_or_none()
            return Pause(**row._mapping) if row else None

    def all(self) -> list[Pause]:
        """All pauses."""
        with self._database.reading() as tx:
            return [Pause(**row._mapping) for row in tx.execute(pauses.select().order_by(pauses.c.site))]
