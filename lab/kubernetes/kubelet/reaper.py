"""A process that outlives the kubelet by a moment, to kill the process groups of the containers it leaves behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Reaper:
    """Knows which process groups are alive. Must be made before any thread or event loop exists: it forks."""

    def __init__(self) -> None:
        read_end, self._write_end = os.pipe()
        if os.fork() == 0:
            os.close(self._write_end)
            try:
                _reap(read_end)
            finally:
                os._exit(0)
        os.close(read_end)

    def add(self, process_group: int) -> None:
        os.write(self._write_end, f"+{process_group}\n".encode())

    def remove(self, process_group: int) -> None:
        os.write(self._write_end, f"-{process_group}\n".encode())


def die_with_parent() -> None:
    """For a child between fork and exec: SIGKILL when the thread that forked it, the kubelet's only one, dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _reap(read_end: int) -> None:
    """Follows the kubelet's reports until the pipe ends, which it does however the kubelet dies."""
    os.setsid()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    alive: set[int] = set()
    with os.fdopen(read_end) as reports:
        for report in reports:
            group = int(report[1:])
            if report[0] == "+":
                alive.add(group)
            else:
                alive.discard(group)
    for group in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
