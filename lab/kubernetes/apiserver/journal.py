"""The store on disk: one JSON line for each write, so that a restarted API server knows what it knew."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.kubernetes.objects import Object


@dataclass(frozen=True, order=True)
class Key:
    """Where the store keeps an object; the namespace is empty for cluster-scoped ones."""

    group: str
    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Entry:
    """One write: the object as of `revision`, or None when it was removed."""

    revision: int
    key: Key
    document: Object | None


class Journal:
    """An append-only file. A line torn by a crash is dropped: its write was never answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._file: IO[str] | None = None

    def read(self) -> Iterator[Entry]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    return
                revision, key, document = json.loads(line)
                yield Entry(revision, Key(*key), document)

    def append(self, entry: Entry) -> None:
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(_line(entry))
        self._file.flush()
        self.lines += 1

    def rewrite(self, entries: Iterator[Entry]) -> None:
        """Replaces the file by what is still true, atomically."""
        self.close()
        fresh = self.path.with_suffix(".new")
        self.lines = 0
        with fresh.open("w", encoding="utf-8") as file:
            for entry in entries:
                file.write(_line(entry))
                self.lines += 1
        os.replace(fresh, self.path)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(entry: Entry) -> str:
    key = [entry.key.group, entry.key.plural, entry.key.namespace, entry.key.name]
    return json.dumps([entry.revision, key, entry.document], separators=(",", ":")) + "\n"
