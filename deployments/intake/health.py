"""How the intake is: each of its parts, and why not where it does not work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deployments.intake.announce import Announcer
from deployments.intake.belonging import Belonging
from deployments.intake.desk import Desk
from deployments.intake.sitebook import SiteBook
from deployments.intake.watch import Watch
from tasks.ledger import Ledger, LedgerUnavailable, Listed

LOST_AFTER_SECONDS = 60.0  # a round of the watch that did not go on for longer than this hangs
PREFECT, LEDGER, WATCH, DESK, SITES = "Prefect server", "ledger", "watch", "desk", "sites"
LEFT = "what is still changed"
VITAL = (LEDGER, WATCH, DESK)
"""Without these the intake can do nothing, and starting it again may help."""


@dataclass(frozen=True)
class Health:
    """Looks at all parts of one intake."""

    ledger: Ledger
    belonging: Belonging
    book: SiteBook
    desk: Desk
    announcer: Announcer
    watch: Watch
    began: float = field(default_factory=time.monotonic)

    def parts(self) -> Mapping[str, str]:
        """Every part with what is wrong with it; empty where nothing is."""
        return {
            LEDGER: self._ledger(),
            DESK: "" if self.desk.alive else "its thread has ended: start the intake again",
            WATCH: self._watch("people"),
            PREFECT: self._watch("prefect") or self.book.why or self.announcer.why,
            SITES: "; ".join(self.book.broken.values()),
            LEFT: self._left(),
            **dict(self._silent()),
        }

    def _ledger(self) -> str:
        try:
            self.ledger.writable()
        except LedgerUnavailable as error:
            return str(error)
        return self.belonging.why

    def _watch(self, round_: str) -> str:
        if not self.watch.alive:
            return "the watch's thread has ended: start the intake again"
        silent = time.monotonic() - self.watch.went_on_at.get(round_, self.began)
        return f"no answer for {silent:.0f} s" if silent > LOST_AFTER_SECONDS else ""

    def _left(self) -> str:
        """What is still changed at sites that are not there any more: nobody gives it back, or calls about it."""
        if self.book.why:
            return ""  # the sites are not known
        try:
            overdue = self.ledger.claims.overdue()
        except LedgerUnavailable:
            return ""
        there = {site.name for site in self.book.sites}
        gone = [claim for claim in overdue if claim.site not in there]
        told = "; ".join(dict.fromkeys(f"{claim.field} of {claim.target} at {claim.site}" for claim in gone))
        return f"nobody gives back what is overdue at sites that were deleted: {told}" if told else ""

    def _silent(self) -> Iterator[tuple[str, str]]:
        """The sites whose alerting was heard regularly, and is not heard any more."""
        limits = {s.name: timedelta(minutes=s.platform.silent_after_minutes) for s in self.book.sites}
        try:
            listed = self.ledger.directory.all()
            now = self.ledger.now()
        except LedgerUnavailable:
            return
        for site in listed:
            if (limit := limits.get(site.address.site)) is not None:
                yield alerting(site.address.site), silence(site, limit, now)


def alerting(site: str) -> str:
    """What the alerting of a site is called."""
    return f"alerting of {site}"


def silence(site: Listed, limit: timedelta, now: datetime) -> str:
    """Why no alert of a site may arrive any more: its watchdog came regularly, and has stopped. Empty where it comes,
    and where it never came regularly: then nobody can tell."""
    heard, before = site.heard_at, site.heard_before
    if heard is None or before is None or heard - before > limit or now - heard <= limit:
        return ""
    return f"no sign of life since {heard:%Y-%m-%d %H:%M:%S} UTC: alerts may be lost, see its Alertmanager"
