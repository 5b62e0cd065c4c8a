"""Which run is executed by which process, kept on the disk: so that the next worker of the same name knows what a
killed one has left behind.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.worker.endings import Cause


class AlreadyRuns(Exception):
    """Another worker of this name is at work on this host."""


class Record(BaseModel):
    """A run and its process; `started` and `boot` tell it from a later process with the same number.

    It is written before the run is taken: `mark` tells whether it was granted to us. `cause` is why the process ends,
    as far as its worker knew.
    """

    model_config = ConfigDict(frozen=True)

    run: UUID
    pid: int
    started: str
    boot: str
    mark: str = ""
    cause: Cause = Cause.LEFT

    @classmethod
    def of(cls, run: UUID, pid: int, mark: str, cause: Cause = Cause.LEFT) -> Record:
        """The record of a run and a process as it is now."""
        return cls(run=run, pid=pid, started=_started(pid), boot=_boot(), mark=mark, cause=cause)

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.boot == _boot() and self.started == _started(self.pid) != ""


class Records:
    """The records of one worker."""

    def __init__(self, folder: Path) -> None:
        """Raises:
        AlreadyRuns: another process has this folder.
        OSError: the folder cannot be written.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = open(folder / "lock", "w")  # noqa: SIM115 - held until the process ends, however it ends
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRuns(
                f"a worker called {folder.name!r} runs on this host already: choose another --name"
            ) from error

    def keep(self, record: Record) -> None:
        """Writes down that a process has a run, before it begins."""
        path = self._path(record.run)
        fresh = path.with_suffix(".new")
        fresh.write_text(record.model_dump_json())
        fresh.replace(path)

    def forget(self, run: UUID) -> None:
        """The run has been seen through."""
        self._path(run).unlink(missing_ok=True)

    def left(self) -> Iterator[Record]:
        """What an earlier worker of this name did not see through."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield Record.model_validate_json(path.read_text())
            except ValidationError:  # of another version, or cut off by a full disk: nothing can be told from it
                path.unlink()

    def _path(self, run: UUID) -> Path:
        return self._folder / f"{run}.json"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str:
    """When a process started, in ticks since the boot; empty when there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *rest = stat.rpartition(")")[2].split()  # the program's name, in parentheses before, may hold anything
    return "" if state == "Z" else rest[18]
