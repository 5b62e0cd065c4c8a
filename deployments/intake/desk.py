"""The desk: one thread takes alerts in; what arrives meanwhile is taken in together, with one write to the disk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from deployments.intake.handle import Handled
from deployments.intake.webhook import Alert
from tasks.systems.errors import explain

MOST_WAITING = 20_000  # alerts
TOGETHER = 1_000  # alerts in one transaction

log = logging.getLogger("runbooks.desk")

TakeIn = Callable[[Sequence[Alert]], list[Handled]]
_Waiting = tuple[Sequence[Alert], Future[list[Handled]]]


class Full(Exception):
    """So much is waiting that more is not taken: the sender has to come again."""


class Desk:
    """A queue of bounded length in front of one thread. What it answered is in the ledger."""

    def __init__(self, take_in: TakeIn, most_waiting: int = MOST_WAITING) -> None:
        self._take_in, self._most = take_in, most_waiting
        self._some = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._over = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Takes in from now on."""
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Takes in what is waiting, and ends."""
        with self._some:
            self._over = True
            self._some.notify()
        if self._thread is not None:
            self._thread.join()

    @property
    def waiting(self) -> int:
        """How many alerts are waiting or being taken in."""
        return self._waiting

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def submit(self, alerts: Sequence[Alert]) -> Future[list[Handled]]:
        """Puts alerts into the queue. The result is there when they are in the ledger.

        Raises:
            Full: too many are waiting, or the desk is closed.
        """
        answer: Future[list[Handled]] = Future()
        with self._some:
            if self._over or (self._waiting and self._waiting + len(alerts) > self._most):
                raise Full(f"{self._waiting} alerts are waiting to be taken in")
            self._waiting += len(alerts)
            self._queue.append((alerts, answer))
            self._some.notify()
        return answer

    def _run(self) -> None:
        while not (self._over and not self._queue):
            batch = self._next()
            if batch:
                self._answer(batch)
            with self._some:
                self._waiting -= sum(len(alerts) for alerts, _ in batch)

    def _next(self) -> list[_Waiting]:
        """What is waiting, as much as is taken in at once; nothing when the desk is closed and empty."""
        with self._some:
            self._some.wait_for(lambda: self._queue or self._over)
            batch: list[_Waiting] = []
            count = 0
            while self._queue and (not batch or count + len(self._queue[0][0]) <= TOGETHER):
                alerts, answer = self._queue.popleft()
                if not answer.set_running_or_notify_cancel():  # nobody waits any more: the sender comes again
                    self._waiting -= len(alerts)
                    continue
                batch.append((alerts, answer))
                count += len(alerts)
            return batch

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            handled = iter(self._take_in([alert for alerts, _ in batch for alert in alerts]))
        except Exception as error:
            if len(batch) > 1:  # whose fault it is shows when each is taken in by itself
                for one in batch:
                    self._answer([one])
                return
            log.error("alerts could not be taken in: %s", explain(error))
            batch[0][1].set_exception(error)
            return
        for alerts, answer in batch:
            answer.set_result([next(handled) for _ in alerts])
