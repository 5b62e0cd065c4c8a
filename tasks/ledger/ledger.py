"""The ledger as its users see it: one small class per subject, on one database."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from tasks.ledger.approvals import Approvals
from tasks.ledger.breaches import Breaches
from tasks.ledger.changes import Changes
from tasks.ledger.claims import Claims
from tasks.ledger.database import Clock, Database
from tasks.ledger.directory import Directory
from tasks.ledger.incidents import Incidents
from tasks.ledger.locks import Locks
from tasks.ledger.pages import Pages
from tasks.ledger.pauses import Pauses
from tasks.ledger.runs import Runs
from tasks.ledger.schema import bring_up_to_date
from tasks.ledger.strays import Strays
from tasks.ledger.tables import meta


class Ledger:
    """The ledger behind a URL: `sqlite:///FILE` on one host, `postgresql://...` for workers on several.

    Every call may raise `LedgerUnavailable`. `identity` is a random id that is kept in the database: hosts that see
    the same one use the same ledger. `clock` is for tests, and for SQLite only.

    Raises:
        LedgerUnavailable: from the constructor, when the database cannot be opened or is no ledger for this code.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.database = Database(url, clock)
        try:
            self.identity = bring_up_to_date(self.database)
        except BaseException:
            self.database.close()
            raise
        self.incidents = Incidents(self.database)
        self.runs = Runs(self.database)
        self.locks = Locks(self.database)
        self.claims = Claims(self.database)
        self.changes = Changes(self.database, self.locks, self.claims)
        self.approvals = Approvals(self.database)
        self.pauses = Pauses(self.database)
        self.pages = Pages(self.database)
        self.breaches = Breaches(self.database)
        self.strays = Strays(self.database)
        self.directory = Directory(self.database)

    def now(self) -> datetime:
        """The time by the database's clock."""
        with self.database.reading() as tx:
            now: datetime = tx.execute(sa.select(self.database.now())).scalar_one()
            return now

    def writable(self) -> None:
        """Writes nothing of interest, to see whether it could.

        Raises:
            LedgerUnavailable: it cannot be written.
        """
        with self.database.writing() as tx:
            tx.execute(meta.update().where(meta.c.key == "identity").values(value=meta.c.value))

    def close(self) -> None:
        """Closes all connections."""
        self.database.close()
