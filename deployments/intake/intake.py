"""One intake put together: the desk, the announcer, the watch, and what keeps an eye on all of them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx

from deployments.intake.announce import Announcer
from deployments.intake.belonging import Belonging
from deployments.intake.desk import Desk
from deployments.intake.handle import STRAYS, Fate, Handled, adopt, handle
from deployments.intake.health import Health, alerting
from deployments.intake.last_resort import LastResort
from deployments.intake.metrics import Meters
from deployments.intake.sitebook import SiteBook
from deployments.intake.watch import Watch
from deployments.intake.webhook import Alert
from tasks.contacts import Channel
from tasks.ledger import Ledger
from tasks.runbook import AnyRunbook
from tasks.settings import Settings
from tasks.systems.errors import explain

PING_SECONDS = 60.0

log = logging.getLogger("runbooks.intake")


class Intake:
    """Everything that works in one intake's process."""

    def __init__(
        self,
        ledger: Ledger,
        runbooks: Mapping[str, AnyRunbook],
        settings: Settings,
        book: SiteBook | None = None,
        announcer: Announcer | None = None,
        belonging: Belonging | None = None,
    ) -> None:
        self._ledger, self._settings = ledger, settings
        self._by_alert = {runbook.alert: runbook for runbook in runbooks.values()}
        self.book = book or SiteBook(ledger)
        self.announcer = announcer or Announcer(ledger)
        self.belonging = belonging or Belonging(ledger)
        self.desk = Desk(self._take_in)
        self.watch = Watch(
            ledger,
            runbooks,
            lambda: self.book.sites,
            with_people=[self._look_at_ourselves, self._adopt],
            with_prefect=[self.belonging.look, self.book.refresh],
            unclaimed_for=timedelta(seconds=settings.unclaimed_seconds),
        )
        self.health = Health(ledger, self.belonging, self.book, self.desk, self.announcer, self.watch)
        self.meters = Meters(self.health)
        self.last_resort = LastResort(self._channels)
        self._pinged_at = float("-inf")

    def start(self) -> None:
        """Begins to work. Prefect need not be there."""
        self.book.refresh()
        for part in (self.desk, self.announcer, self.watch):
            part.start()

    def stop(self) -> None:
        """Ends in order: what was taken is in the ledger."""
        for part in (self.desk, self.announcer, self.watch):
            part.stop()

    def _take_in(self, alerts: Sequence[Alert]) -> list[Handled]:
        self.belonging.require()
        handled = handle(self._ledger, self._by_alert, self.book.addresses, alerts, datetime.now(UTC))
        self._tell(handled)
        return handled

    def _adopt(self) -> None:
        """Strays that a site answers to by now, because it was saved after they arrived, and those whose explanation is
        gone."""
        self._tell(adopt(self._ledger, self._by_alert, self.book.addresses, datetime.now(UTC)))

    def _tell(self, handled: Sequence[Handled]) -> None:
        if any(one.fate is Fate.OPENED for one in handled):
            self.announcer.wake()
        # In a storm one line for all that is alike.
        for (alert, site, fate), times in Counter((one.alert, one.site, one.fate) for one in handled).items():
            self.meters.alerts.labels(fate.name.lower()).inc(times)
            if fate not in (Fate.FOLDED, Fate.ALIVE):
                level = logging.WARNING if fate in STRAYS else logging.INFO
                log.log(level, "%.100r at %s: %s (%d)", alert, site or "no site", fate, times)

    # ---- the eye on ourselves ----

    def _look_at_ourselves(self) -> None:
        """Tells people what does not work, and the dead man's switch that all does."""
        parts, now = self.health.parts(), datetime.now(UTC)
        for part, why in parts.items():
            self.last_resort.report(part, why, now)
        if not any(parts.values()):
            self._ping()

    def _ping(self) -> None:
        address = self._settings.heartbeat_url
        if address is None or time.monotonic() - self._pinged_at < PING_SECONDS:
            return
        self._pinged_at = time.monotonic()
        try:
            httpx.get(address.get_secret_value(), timeout=5).raise_for_status()
        except httpx.HTTPError as error:
            log.error("the dead man's switch was not reached: %s", explain(error))

    def _channels(self, what: str) -> Sequence[Channel]:
        """Who is told: everybody who is called first anywhere, or at the site whose alerting it is."""
        concerned = [s for s in self.book.sites if what == alerting(s.name)] or self.book.sites
        found = [c for site in concerned for c in site.platform.contacts if c.level <= 1]
        found += self._settings.last_resort
        return list({(c.kind, c.address.get_secret_value(), c.server): c for c in found}.values())
