"""Whether the intake's ledger is that of the installation: incidents in another one would be seen to by nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from tasks.installation import WrongLedger, not_another
from tasks.ledger import Ledger

LOOK_SECONDS = 60.0


class Belonging:
    """What Prefect said last; `why` is empty while it has said nothing against this ledger."""

    def __init__(self, ledger: Ledger, ask: Callable[[Ledger], None] = not_another) -> None:
        self._ledger, self._ask = ledger, ask
        self._answered_at = float("-inf")
        self.why = ""

    def look(self) -> None:
        """Asks Prefect, if it did not answer within the last minute. An intake that began without Prefect asks until it
        is there."""
        if time.monotonic() - self._answered_at < LOOK_SECONDS:
            return
        with suppress(httpx.TransportError, PrefectHTTPStatusError):  # the site book tells that Prefect is away
            try:
                self._ask(self._ledger)
                self.why = ""
            except WrongLedger as error:
                self.why = str(error)
            self._answered_at = time.monotonic()

    def require(self) -> None:
        """Raises:
        WrongLedger: Prefect has said that it is another one.
        """
        if self.why:
            raise WrongLedger(self.why)
