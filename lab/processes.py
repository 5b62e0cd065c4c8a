"""Detached processes with pid files: one program starts them, another one may end them.

A pid alone does not say which process it means: the system gives it away again. So the file also holds when the process
started, and in which boot of the machine, and nothing else is ever taken for it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.files import read_whole, write_whole
from lab.model import GroundError

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Identity:
    pid: int
    started: str
    boot: str

    def alive(self) -> bool:
        _reap(self.pid)
        return self == _identify(self.pid)


class Processes:
    """The processes of one ground, by name."""

    def __init__(self, folder: Path) -> None:
        """Keep pid files and logs in `folder`."""
        self._folder = folder

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a process in a session of its own; its output goes to its log.

        Raises:
            GroundError: the program cannot be started.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        log = os.open(self._log(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        try:
            pid = os.posix_spawn(
                command[0], list(command), {**os.environ, **(environment or {})}, file_actions=files, setsid=True
            )
        except OSError as error:
            raise GroundError(f"{name} cannot be started: {error}") from error
        finally:
            os.close(log)
            os.close(null)
        identity = _identify(pid)
        if identity is not None:
            write_whole(self._file(name), json.dumps(asdict(identity)))

    def running(self, name: str) -> bool:
        """Whether the process of that name is alive."""
        identity = self._identity(name)
        return identity is not None and identity.alive()

    def pid(self, name: str) -> int | None:
        """The process of that name, if it is alive."""
        identity = self._identity(name)
        return identity.pid if identity is not None and identity.alive() else None

    def stop(self, names: Iterable[str], patience: float = 10.0) -> None:
        """End processes: all are asked to, and who is still there after `patience` seconds is killed."""
        identities = {name: identity for name in names if (identity := self._identity(name)) is not None}
        for signum, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
            alive = [identity for identity in identities.values() if identity.alive()]
            for identity in alive:
                os.kill(identity.pid, signum)
            deadline = time.monotonic() + seconds
            while alive and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                alive = [identity for identity in alive if identity.alive()]
        for name in identities:
            self._file(name).unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """End a process with SIGKILL, as a crash would; nothing happens if it does not run."""
        identity = self._identity(name)
        if identity is not None and identity.alive():
            os.kill(identity.pid, signal.SIGKILL)
            while identity.alive():
                time.sleep(POLL_SECONDS)

    def wait(self, what: str, ready: Callable[[], bool], needed: Iterable[str], seconds: float = 60.0) -> None:
        """Wait until `ready`.

        Raises:
            GroundError: a process that is needed for it ended, or time is up.
        """
        needed, deadline = tuple(needed), time.monotonic() + seconds
        while not ready():
            for name in needed:
                if not self.running(name):
                    raise GroundError(f"{name} ended while starting; its last words: {self.last_words(name)}")
            if time.monotonic() > deadline:
                raise GroundError(f"{what} took longer than {seconds:g} s; see the logs in {self._folder}")
            time.sleep(POLL_SECONDS)

    def last_words(self, name: str) -> str:
        """The last line of a process's log."""
        path = self._log(name)
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "none")

    def _identity(self, name: str) -> _Identity | None:
        text = read_whole(self._file(name))
        return None if text is None else _Identity(**json.loads(text))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _identify(pid: int) -> _Identity | None:
    """The identity of a running process; None when there is none, or only its remains (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, and may itself hold anything.
    state, *rest = stat.rpartition(")")[2].split()
    return (
        None if state == "Z" else _Identity(pid, rest[18], Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    )


def _reap(pid: int) -> None:
    """Clear away the remains of a process that this very program started."""
    # If another program started it, its parent or init clears it away.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
