"""Container logs: one file a run, each line with its time and stream, and reading it back as `kubectl logs` asks."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from lab.kubernetes import timestamps

_MAX_BYTES = 10 << 20
_LONGEST_LINE = 16 << 10
_FOLLOW_PERIOD = 0.1


class LogWriter:
    """Appends lines in the format of container runtimes: `TIME STREAM F TEXT`, or P for a part of a long line.

    At `limit` bytes it starts a new file.
    """

    def __init__(self, path: Path, limit: int = _MAX_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._file: BinaryIO = path.open("ab", buffering=0)

    def write(self, stream: str, line: bytes) -> None:
        flag = "F" if line.endswith(b"\n") else "P"
        self._file.write(f"{timestamps.nanos()} {stream} {flag} ".encode() + line.rstrip(b"\n") + b"\n")
        if self._file.tell() > self._limit:
            self._file.close()
            os.replace(self._path, self._path.with_suffix(".log.1"))
            self._file = self._path.open("ab", buffering=0)

    async def copy(self, stream: str, source: asyncio.StreamReader) -> None:
        """Writes everything that comes until the stream ends."""
        while True:
            try:
                self.write(stream, await source.readuntil(b"\n"))
            except asyncio.LimitOverrunError as overrun:
                self.write(stream, await source.readexactly(overrun.consumed))
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    self.write(stream, rest.partial)
                return

    def close(self) -> None:
        self._file.close()


class OutputPipes:
    """What a new process writes to: `stdout` and `stderr`, with a reader for each. The block closes our write ends."""

    def __init__(self) -> None:
        self.readers: list[tuple[str, asyncio.StreamReader]] = []
        self._ends = [os.pipe() for _ in range(2)]
        self.stdout, self.stderr = (write_end for _, write_end in self._ends)

    async def __aenter__(self) -> OutputPipes:
        loop = asyncio.get_running_loop()
        for name, (read_end, _) in zip(("stdout", "stderr"), self._ends, strict=True):
            reader = asyncio.StreamReader(limit=_LONGEST_LINE)
            protocol = asyncio.StreamReaderProtocol(reader)
            await loop.connect_read_pipe(lambda protocol=protocol: protocol, os.fdopen(read_end, "rb"))  # type: ignore[misc]
            self.readers.append((name, reader))
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, write_end in self._ends:
            os.close(write_end)


@dataclass(frozen=True)
class LogOptions:
    """`v1 PodLogOptions`."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> LogOptions:
        """Raises ValueError for numbers and times that are none."""
        since = None
        if "sinceSeconds" in query:
            since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
        elif "sinceTime" in query:
            since = timestamps.parse(query["sinceTime"])
        return cls(
            follow=query.get("follow") in ("true", "1"),
            previous=query.get("previous") in ("true", "1"),
            timestamps=query.get("timestamps") in ("true", "1"),
            tail=int(query["tailLines"]) if "tailLines" in query else None,
            since=since,
            limit=int(query["limitBytes"]) if "limitBytes" in query else None,
        )


async def read(path: Path, options: LogOptions, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The chunks of a log as asked for; following ends when the container has ended and all is read."""
    left = options.limit
    file = path.open("rb")
    try:
        for line in _existing(file, options):
            if left is not None:
                line, left = line[:left], left - len(line[:left])
            yield line
            if left == 0:
                return
        while options.follow:
            running = is_running()
            fresh = [_shown(line, options) for line in _complete_lines(file)]
            if fresh:
                yield b"".join(fresh)
            elif not _is_current(file, path):
                file.close()
                file = path.open("rb")
            elif not running:
                return
            else:
                await asyncio.sleep(_FOLLOW_PERIOD)
    finally:
        file.close()


def _is_current(file: BinaryIO, path: Path) -> bool:
    """Whether there is no newer file; a removed pod's log has none."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return True


def _existing(file: BinaryIO, options: LogOptions) -> Iterator[bytes]:
    lines: Iterator[bytes] | deque[bytes] = _complete_lines(file)
    if options.since is not None:
        since = options.since
        lines = (line for line in lines if timestamps.parse(line.split(b" ", 1)[0].decode()) >= since)
    if options.tail is not None:
        lines = deque(lines, maxlen=options.tail)
    return (_shown(line, options) for line in lines)


def _complete_lines(file: BinaryIO) -> Iterator[bytes]:
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(start)
            return
        yield line


def _shown(line: bytes, options: LogOptions) -> bytes:
    time, _, flag, text = line.split(b" ", 3)
    text = text.removesuffix(b"\n") if flag == b"P" else text
    return time + b" " + text if options.timestamps else text
