"""Giving back: a restore is started at each site where claims wait that nothing speaks for any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deployments.intake.duty import duty
from flows.incidents.restore import AT_ONCE, NAME
from tasks.incidents import start_run
from tasks.ledger import Ledger
from tasks.restore import groups, still_going_on
from tasks.runbook import AnyRunbook
from tasks.sites import Site

BEGINS_WITHIN = timedelta(seconds=20)  # a run that was started is at work, or it will not be


@dataclass
class GivingBack:
    """Starts restores, at a few sites at a time: after a storm they leave the worker to what is urgent.

    Each site has its turn once in its `look_back_seconds`. Two intakes start the same restore, which Prefect folds.
    """

    ledger: Ledger
    runbooks: Mapping[str, AnyRunbook]
    _started: dict[str, datetime] = field(default_factory=dict)  # by site

    def look(self, sites: Iterable[Site]) -> None:
        """Starts what is due and has room."""
        now = self.ledger.now()
        beginning = {site for site, started_at in self._started.items() if now - started_at < BEGINS_WITHIN}
        busy = self.ledger.runs.sites_of(NAME) | beginning
        room = AT_ONCE - len(busy)
        for site in sites:
            if room <= 0:
                return
            if site.name in busy or self._had_its_turn(site, now):
                continue
            with duty(f"site {site.name}"):
                if self._due(site):
                    start_run(NAME, {"site": site.name}, f"{NAME}:{site.name}:{_turn(site, now)}")
                    self._started[site.name] = now
                    room -= 1

    def _had_its_turn(self, site: Site, now: datetime) -> bool:
        return site.name in self._started and _turn(site, self._started[site.name]) == _turn(site, now)

    def _due(self, site: Site) -> bool:
        waiting = groups(self.ledger, self.runbooks, site.name)
        return any(not still_going_on(self.ledger, self.runbooks, site, group) for group in waiting)


def _turn(site: Site, at: datetime) -> int:
    return int(at.timestamp() / site.platform.pace.look_back_seconds)
