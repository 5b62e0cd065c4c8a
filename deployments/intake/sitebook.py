"""The sites as the intake knows them: never asked of Prefect while an alert waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

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
    still tells where an alert belongs. The same holds for a site alone that does not fit the settings of its platform
    any more. `why` says why they could not be read the last time, and `broken` which ones do not fit.
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
        self.broken: Mapping[str, str] = {}
        self._kept: Sequence[Address] | None = None  # what the directory has

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
            for line in saved.broken.values():
                log.error("%s", line)
        sites = [*saved.sites, *(site for site in self._sites if site.name in saved.broken)]
        try:
            addresses = [site.platform.address(site.name) for site in sites]
            if unknown := set(saved.broken) - {site.name for site in sites}:
                listed = (one.address for one in self._ledger.directory.all())
                addresses += [address for address in listed if address.site in unknown]
            with self._lock:
                self._sites, self._addresses = sites, addresses
            if addresses != self._kept:
                self._ledger.directory.keep(addresses)
                self._kept = addresses
        except LedgerUnavailable as error:
            log.error("the directory of sites cannot be kept: %s", error)
            self._read_at = float("-inf")  # the next look tries again

    def _say(self, why: str) -> None:
        if why and why != self.why:
            log.error("the sites cannot be read, those known last count: %s", why)
        self.why = why
