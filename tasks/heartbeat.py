"""The sign of life of a run: its lease on what it holds is renewed while the process lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from tasks.facts import LiveFacts, Pulse
from tasks.ledger import Ledger, LedgerUnavailable

log = logging.getLogger("runbooks.heartbeat")


@contextmanager
def beating(ledger: Ledger, facts: LiveFacts, lease: timedelta) -> Iterator[None]:
    """Beats for the time of the block, three times within each lease.

    A beat that fails is only logged: the guards ask the ledger themselves before each write, and a lease that was not
    renewed runs out. A process that was halted for longer than its lease, wherever it was, changes nothing any more.
    """
    over = threading.Event()
    pulse = facts.pulse = Pulse(lease.total_seconds(), time.monotonic())

    def beat() -> None:
        while not over.wait(lease.total_seconds() / 3):
            if halted := pulse.feel():
                log.warning("%s", halted)
            try:
                ledger.runs.beat(facts.run)
                if facts.held and not ledger.locks.renew(facts.held, facts.run, lease):
                    log.warning("run %s lost a target to another run", facts.run)
            except LedgerUnavailable as error:
                log.warning("no sign of life could be given: %s", error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
