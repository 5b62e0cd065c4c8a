"""The directory: which sites there are, for an intake that starts while Prefect, who has them, does not answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasks.ledger.database import Database
from tasks.ledger.records import Listed
from tasks.ledger.tables import sites
from tasks.model.claim import Bound
from tasks.model.site import Address, SideEffect


class Directory:
    """The sites as they were known last, and when the alerting of each gave a sign of life."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, addresses: Iterable[Address]) -> None:
        """Makes these the sites, and forgets those that are not among them."""
        wanted = {address.site: address for address in addresses}
        with self._database.writing() as tx:
            tx.execute(sites.delete().where(sites.c.name.not_in(wanted)))
            for address in wanted.values():
                says = {
                    "platform": address.platform,
                    "labels": dict(address.labels),
                    "side_effects": [asdict(effect) for effect in address.side_effects],
                }
                new = self._database.insert(sites).values(name=address.site, **says)
                tx.execute(new.on_conflict_do_update(index_elements=["name"], set_=says))

    def all(self) -> list[Listed]:
        """The sites, by name."""
        with self._database.reading() as tx:
            rows = tx.execute(sites.select().order_by(sites.c.name))
            return [Listed(_address(row), row.heard_at, row.heard_before) for row in rows]

    def heard(self, site: str, at: datetime) -> None:
        """Notes that the alerting of a site gave a sign of life."""
        with self._database.writing() as tx:
            tx.execute(sites.update().where(sites.c.name == site).values(heard_before=sites.c.heard_at, heard_at=at))


def _address(row: sa.Row[Any]) -> Address:
    effects = (_effect(**told) for told in row.side_effects or ())
    return Address(row.name, row.platform, row.labels, tuple(effects))


def _effect(*, bound: str, targets: list[str], fields: list[str], **other: Any) -> SideEffect:
    return SideEffect(bound=Bound(bound), targets=tuple(targets), fields=tuple(fields), **other)
