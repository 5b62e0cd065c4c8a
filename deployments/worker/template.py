"""The worker's side of the template: it is started, asked for children, and compared with the code as it is now."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deployments.worker.code import Code, Fingerprint
from deployments.worker.fork_server import FORK
from deployments.worker.orders import Ready
from deployments.worker.process import Child, NoChild, Watched

READY_SECONDS = 120.0  # the longest that imports may take
MAY_GROW_BY = 64 << 20  # bytes


class NoTemplate(Exception):
    """The template does not start. The text says why, in one sentence."""


@dataclass
class Template:
    """A running template: of which code it is, and how large it was when it began."""

    process: Watched
    control: socket.socket
    fingerprint: Fingerprint
    version: str
    size: int

    @classmethod
    async def start(cls, code: Code) -> Template:
        """Raises:
        NoTemplate: it cannot import the code, or takes too long.
        OSError: no process can be started.
        """
        fingerprint = await asyncio.to_thread(code.fingerprint)
        ours, its = socket.socketpair()
        try:
            with its:
                process = Watched(await asyncio.to_thread(_launch, code, its.fileno()))
        except BaseException:
            ours.close()  # whatever was started ends when it reads the end of the line
            raise
        try:
            ready = await _readiness(ours)
            if await asyncio.to_thread(code.fingerprint) != fingerprint:
                raise NoTemplate("the code changed while it was imported")
        except BaseException:
            process.kill()
            ours.close()
            raise
        return cls(process, ours, fingerprint, ready.version, resident(process.pid))

    async def fork(self) -> Child:
        """A new child.

        Raises:
            NoChild: there is none.
        """
        ours, its = socket.socketpair()
        with its:
            try:
                socket.send_fds(self.control, [FORK], [its.fileno()])
            except OSError as error:
                ours.close()
                raise NoChild("the template is gone") from error
        ours.setblocking(False)
        return await Child.meet(ours)

    def why_renew(self, now: Fingerprint) -> str:
        """Why another template is wanted, or the empty string."""
        if not self.process.alive:
            return "the template has ended"
        if now != self.fingerprint:
            return "the code has changed"
        grown = resident(self.process.pid) - self.size
        return f"the template has grown by {grown >> 20} MiB" if grown > MAY_GROW_BY else ""

    def stop(self) -> None:
        """Ends the template. Its children live on."""
        self.control.close()
        self.process.send(signal.SIGTERM)


def _launch(code: Code, fd: int) -> int:
    command = [sys.executable, "-m", "deployments.worker.fork_server", str(fd), *code.modules]
    started = subprocess.Popen(command, cwd=code.root, stdin=subprocess.DEVNULL, pass_fds=[fd], start_new_session=True)
    started.returncode = 0  # it is waited for by its file descriptor, not by this object
    return started.pid


async def _readiness(control: socket.socket) -> Ready:
    control.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=control.dup())
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = await reader.readline()
    except TimeoutError as error:
        raise NoTemplate(f"it is not ready after {READY_SECONDS:.0f} s") from error
    finally:
        writer.close()
    if not line:
        raise NoTemplate("it ended without a word: see its output above")
    ready = Ready.model_validate_json(line)
    if ready.failed:
        raise NoTemplate(ready.failed)
    return ready


def resident(pid: int) -> int:
    """The resident memory of a process in bytes; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
