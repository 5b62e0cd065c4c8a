"""Broken limits, as the health checks see them."""

from __future__ import annotations

from datetime import datetime, timedelta

from tasks.ledger.database import Database
from tasks.ledger.tables import breaches


class Breaches:
    """Since when which limit is broken."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, site: str, runbook: str, at: datetime, gap: timedelta) -> datetime:
        """Notes that a limit is broken, and says since when. A note older than `gap` is forgotten first: between two
        looks so far apart nobody knows what was."""
        known = breaches.c.site == site, breaches.c.runbook == runbook
        with self._database.writing() as tx:
            row = tx.execute(breaches.select().where(*known).with_for_update()).one_or_none()
            if row is not None and timedelta(0) <= at - row.seen_at <= gap:  # nor what a clock noted that was ahead
                tx.execute(breaches.update().where(*known).values(seen_at=at))
                since: datetime = row.since
                return since
            anew = {"since": at, "seen_at": at}
            new = self._database.insert(breaches).values(site=site, runbook=runbook, **anew)
            tx.execute(new.on_conflict_do_update(index_elements=[*breaches.primary_key], set_=anew))
            return at

    def clear(self, site: str, runbook: str) -> None:
        """Notes that a limit is kept."""
        with self._database.writing() as tx:
            tx.execute(breaches.delete().where(breaches.c.site == site, breaches.c.runbook == runbook))
