"""Announcing incidents to Prefect: behind the answer to the sender, in batches, again and again until it is done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from contextvars import copy_context
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient

from tasks.incidents import announce
from tasks.ledger import Ledger
from tasks.model.incident import Incident
from tasks.systems.errors import explain
from tasks.systems.prefect import get_client

BATCH = 100  # events in one request
AGAIN_SECONDS = 1.0
LOOK_SECONDS = 2.0  # what another intake, or this one before its restart, has left to be announced

log = logging.getLogger("runbooks.announce")


class Events:
    """Sends events over a connection that is kept: to make one takes longer than to send."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._client: SyncPrefectClient | None = None

    def send(self, incidents: Sequence[Incident]) -> None:
        """Sends the events of incidents.

        Raises:
            httpx.HTTPError: Prefect cannot be reached, or does not take them.
        """
        try:
            if self._client is None:
                self._client = self._stack.enter_context(get_client(sync_client=True))
            announce(self._client, incidents, datetime.now(UTC))
        except Exception:
            self._client = None
            self._stack.close()
            raise


class Announcer:
    """Sends the event of each new incident, which starts its runbook. The ledger is its list of what is to be sent."""

    def __init__(self, ledger: Ledger, send: Callable[[Sequence[Incident]], None] | None = None) -> None:
        self._ledger, self._send = ledger, send or Events().send
        self._new, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.why = ""
        """Why the last attempt failed; empty when it did not."""

    def start(self) -> None:
        """Announces from now on, in a thread."""
        # In the context of who starts it: how long Prefect is waited for is a setting of the context.
        self._thread = threading.Thread(target=copy_context().run, args=[self._run], name="announcer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the batch that it is at."""
        self._over.set()
        self._new.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Says that there is something new."""
        self._new.set()

    def _run(self) -> None:
        while not self._over.is_set():
            self._new.clear()
            if self.announce_all():
                self._new.wait(LOOK_SECONDS)
            else:
                self._over.wait(AGAIN_SECONDS)

    def announce_all(self) -> bool:
        """Announces what is waiting. Says whether nothing is left."""
        try:
            while taken := self._ledger.incidents.take_unannounced(BATCH):
                try:
                    self._send(taken)
                except Exception:
                    self._ledger.incidents.not_announced(taken)
                    raise
        except Exception as error:  # Prefect or the ledger is away: what is not announced stays on the list
            if self.why != (why := explain(error)):
                log.error("incidents cannot be announced, and will be tried again: %s", why)
            self.why = why
            return False
        self.why = ""
        return True
