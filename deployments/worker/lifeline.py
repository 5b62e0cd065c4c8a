"""The line between a child and its worker, as the child holds it: a sign of life, and what the worker has to say.

When the worker dies the line breaks. The run is then seen through to its end: it may be in the middle of a change, and
it renews its leases itself, so nobody else begins on the same incident. But it is not left alone for ever: from then on
the child itself asks Prefect whether it was cancelled, and ends when its time is up.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress

from prefect._internal import control_listener

from deployments.worker.orders import PULSE_SECONDS, Order, Word
from tasks.cancellation import cancelled

ASK_SECONDS = 5.0  # between two questions of an orphan whether it was cancelled
GRACE_SECONDS = 30.0  # for a run that was told to end

log = logging.getLogger("runbooks.worker.child")


class Lifeline(threading.Thread):
    """Runs beside the flow, in a thread of the child."""

    def __init__(self, channel: socket.socket, order: Order) -> None:
        super().__init__(name="lifeline", daemon=True)
        self._channel = channel
        self._run = order.run.id
        self._orphan_seconds = order.orphan_seconds
        self._over = threading.Event()

    def run(self) -> None:
        """Gives a sign of life and listens until the flow is over."""
        while not self._over.is_set():
            self.say(Word.ALIVE)
            heard, _, _ = select.select([self._channel], [], [], PULSE_SECONDS)
            if not heard:
                continue
            words = self._listen()
            if not words:
                self._orphaned()
                return
            for word in words:
                end(word)

    def done(self) -> None:
        """The flow is over: nothing that is said can matter any more."""
        self._over.set()
        self.say(Word.DONE)

    def say(self, word: Word) -> None:
        """Says something to the worker, if there is one."""
        with suppress(OSError):
            self._channel.sendall(word.line())

    def _listen(self) -> list[Word]:
        try:
            said = self._channel.recv(1 << 10)
        except OSError:
            return []
        return [Word(line) for line in said.decode().split()]

    def _orphaned(self) -> None:
        log.warning("the worker is gone: this run goes on by itself, for %.0f s at most", self._orphan_seconds)
        deadline = time.monotonic() + self._orphan_seconds
        while time.monotonic() < deadline:
            if self._over.wait(ASK_SECONDS):
                return
            if self._cancelled():
                end(Word.CANCEL)
                break
        else:
            log.error("the worker is gone and time is up: this run ends itself")
            os.kill(os.getpid(), signal.SIGTERM)  # for Prefect's engine a crash, which it reports
        if not self._over.wait(GRACE_SECONDS):
            os.killpg(0, signal.SIGKILL)

    def _cancelled(self) -> bool:
        try:
            return cancelled(self._run)
        except Exception as error:  # whatever it is, the limit holds
            log.warning("whether this run was cancelled cannot be told: %r", error)
            return False


def end(word: Word) -> None:
    """Ends the run of this process, as the signal of Prefect's own runner would.

    With the intent `cancel` the engine writes Cancelled, with `relinquish` it leaves the state to whoever started it;
    a signal without an intent is a crash. Where no engine has begun yet, the process just ends, and the worker tells.
    """
    control_listener._set_intent("cancel" if word is Word.CANCEL else "relinquish")
    os.kill(os.getpid(), signal.SIGTERM)
