"""The sites as the intake knows them: never asked of Prefect while an alert waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from flows.catalogue import PLATFORMS
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.model.site import Address
from tasks.sites import Saved, Site, read_sites
from tasks.systems.errors import explain

FRESH_SECONDS = 5.0

log = logging.getLogger("runbooks.sites")


class SiteBook:
    """The saved sites as they were known last.

    Prefect has them; while it does not answer, what was read last counts, and after a restart the ledger's directory
    still tells where an alert belongs. `why` says why they could not be read the last time, and `broken` which saved
    sites do not fit the settings of their platform.
    """

    def __init__(
        self,
        ledger: Ledger,
        read: Callable[[], Saved] = lambda: read_sites(PLATFORMS.values()),
        fresh: float = FRESH_SECONDS,
    ) -> None:
        self._ledger, self._read, self._fresh = ledger, read, fresh
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._sites: Sequence[Site] = ()
        self._addresses: Sequence[Address] | None = None
        self.why = "they were not read yet"
        self.broken: Sequence[str] = ()

    @property
    def sites(self) -> Sequence[Site]:
        """The sites as Prefect told them last; none where it has not told them since the intake started."""
        return self._sites

    @property
    def addresses(self) -> Sequence[Address]:
        """Where alerts belong.

        Raises:
            LedgerUnavailable: neither Prefect nor the ledger has told it yet.
        """
        with self._lock:
            if self._addresses is None:
                self._addresses = [listed.address for listed in self._ledger.directory.all()]
            return self._addresses

    def refresh(self) -> None:
        """Reads the sites again, if they were not read a few seconds ago; where that fails, the old ones stay."""
        if time.monotonic() - self._read_at < self._fresh:
            return
        try:
            saved = self._read()
        except Exception as error:  # whatever it is, Prefect's word is missing, and the last one counts
            self._say(explain(error))
            return
        self._say("")
        self._read_at = time.monotonic()
        if self.broken != saved.broken:
            self.broken = saved.broken
            for line in saved.broken:
                log.error("%s", line)
        addresses = [site.platform.address(site.name) for site in saved.sites]
        with self._lock:
            changed, self._sites = addresses != self._addresses, saved.sites
            self._addresses = addresses
        if changed:
            try:
                self._ledger.directory.keep(addresses)
            except LedgerUnavailable as error:
                self._addresses_not_kept(error)

    def _addresses_not_kept(self, error: LedgerUnavailable) -> None:
        log.error("the directory of sites cannot be kept: %s", error)
        self._read_at = float("-inf")  # the next look tries again

    def _say(self, why: str) -> None:
        if why and why != self.why:
            log.error("the sites cannot be read, those known last count: %s", why)
        self.why = why
