"""The worker's side of a process: it is known by a file descriptor, so that no other process is ever taken for it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from deployments.worker.orders import Hello, Order, Word

_PR_SET_CHILD_SUBREAPER = 36
HELLO_SECONDS = 30.0

_watched: set[int] = set()


class NoChild(Exception):
    """A child that was asked for did not come."""


def become_reaper() -> None:
    """Orphans among the descendants of this process become its children, so that it learns how they ended.

    Raises:
        OSError: the system does not know this.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def reap_strangers() -> None:
    """Clears away what nobody waits for: what runs had started, and left behind."""
    with suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in _watched:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


class Watched:
    """A process by its pid: whether it lives, how it ended, and signals that reach no other."""

    def __init__(self, pid: int) -> None:
        """Raises:
        ProcessLookupError: there is no such process.
        """
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        _watched.add(pid)
        self._ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._fd, self._reap)

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    async def ended(self) -> int | None:
        """Waits for the end and returns the exit code, negative for a signal; None where it is not ours to know."""
        return await asyncio.shield(self._ended)

    def send(self, signum: signal.Signals) -> None:
        """Sends a signal; nothing happens when the process has ended."""
        if self.alive:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signum)

    def kill(self) -> None:
        """Ends the process and its whole group, at once."""
        if self.alive:
            self._kill_group()
            self.send(signal.SIGKILL)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # the pid is its own until it is reaped

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        try:
            os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOWAIT)
            self._kill_group()  # what it started does not outlive it; its number is its own until it is reaped
            result = os.waitid(os.P_PIDFD, self._fd, os.WEXITED)
        except ChildProcessError:  # the child of another process
            result = None
        os.close(self._fd)
        _watched.discard(self.pid)
        code = None
        if result is not None:
            code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        self._ended.set_result(code)


@dataclass
class Child:
    """One child: a spare, which waits in silence, until it is handed an order. `heard_at` is when it last gave a sign
    of life, `done_at` when its flow was over; both by the steady clock."""

    process: Watched
    version: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard_at: float
    done_at: float | None = None
    handed: bool = False

    @classmethod
    async def meet(cls, channel: socket.socket) -> Child:
        """Waits for the child at the other end to say that it is there.

        Raises:
            NoChild: it ends, or does not say so in time.
        """
        reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 16)
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = Hello.model_validate_json(await reader.readline())
            return cls(Watched(hello.pid), hello.version, reader, writer, time.monotonic())
        except (ValueError, OSError, TimeoutError) as error:
            writer.close()
            raise NoChild("a child did not start") from error
        except BaseException:  # nobody waits for it any more: it ends when it reads the end of the line
            writer.close()
            raise

    def hand(self, order: Order) -> None:
        """Gives the child its run. From now on it has to give signs of life."""
        self.handed, self.heard_at = True, time.monotonic()
        self.writer.write(order.line())

    def say(self, word: Word) -> None:
        """Says something to a child at work; nothing happens when it has no order yet, or is gone."""
        if self.handed and not self.writer.is_closing():
            self.writer.write(word.line())

    def dismiss(self) -> None:
        """Closes the line: a spare ends when it reads that, and of one that has ended nothing is kept open."""
        self.writer.close()

    async def listen(self) -> None:
        """Hears the child's signs of life until it ends."""
        with suppress(ConnectionError):
            while line := await self.reader.readline():
                self.heard_at = time.monotonic()
                if line == Word.DONE.line():
                    self.done_at = self.heard_at
