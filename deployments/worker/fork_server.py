"""The template: a process that has imported everything that runs need, and forks a child whenever it is asked to.

It has one thread, no connection but that to its worker, and no event loop, so that a child inherits none. Children are
forked twice: so they belong to the worker, not to the template, which may end at any time without harm to a run.

`python -m deployments.worker.fork_server FD MODULE...`; `FD` is the socket to the worker, and its end is the
template's.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from deployments.worker import certificates
from deployments.worker.orders import Ready
from tasks.version import code_version

FORK = b"f"
LONGEST = 2_000  # characters of a reason
ENGINE = (
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "prefect._internal.observers",
    "anyio._backends._asyncio",
)
"""What Prefect imports at the first run or the first task of a process, and not when it is imported itself."""


class NotAlone(Exception):
    """Something in the template would be shared by its children."""


def main() -> int:
    """Imports, reports, and forks until the worker is gone. Returns in every child, too, when its run is over."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a worker in a terminal is told by Ctrl-C, and tells us
    try:
        ready = Ready(version=prepare(sys.argv[2:]))
    except (Exception, SystemExit) as error:
        ready = Ready(failed=in_one_sentence(error))
    try:
        control.sendall(ready.line())
    except OSError:
        return 0  # the worker is gone
    channel = serve(control)
    if channel is None:
        return 0
    from deployments.worker.child import live

    return live(channel, ready.version)


def prepare(modules: Sequence[str]) -> str:
    """Imports everything, and returns the code's version.

    Raises:
        NotAlone: what was imported has started a thread or opened a connection.
        Exception: whatever an import raises.
    """
    version = code_version()  # of the files as they are now; the worker sees to it that they stay so until we are ready
    for module in (*ENGINE, "deployments.worker.child", *modules):
        import_module(module)
    certificates.read_once()
    check_alone()
    gc.collect()
    gc.freeze()  # children share the memory of what is never collected
    return version


def check_alone() -> None:
    """A child has only the thread that forked it, and shares every connection.

    Raises:
        NotAlone: there is another thread, or a socket besides that to the worker.
    """
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        raise NotAlone(f"the imports started {len(threads) - 1} threads, which would be missing in a forked child")
    sockets = [fd for fd in os.listdir("/proc/self/fd") if _is_socket(int(fd))]
    if len(sockets) > 1:
        raise NotAlone(f"the imports opened {len(sockets) - 1} connections, which forked children would share")


def _is_socket(fd: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") and fd > 2
    except FileNotFoundError:
        return False


def serve(control: socket.socket) -> socket.socket | None:
    """Forks a child for every request; returns its channel in the child, and None in the template, at its end."""
    while True:
        asked, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not asked:
            return None
        channel = socket.socket(fileno=fds[0])
        middle = os.fork()
        if middle:
            channel.close()
            os.waitpid(middle, 0)
            continue
        if os.fork():
            os._exit(0)  # whoever is the nearest reaper, the worker, has the child from now on
        control.close()
        return channel


def in_one_sentence(error: BaseException) -> str:
    """What went wrong, and where in our own code."""
    places = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno))
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST]
    for path, line in reversed(places):
        if path.is_relative_to(Path.cwd()) and "site-packages" not in path.parts and path != Path(__file__):
            return f"{path.relative_to(Path.cwd())}, line {line}: {text}"
    return text


if __name__ == "__main__":
    sys.exit(main())
