"""The code that runs are made of, as it lies on the disk: what to import, and whether it has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.version import ROOT

Fingerprint = frozenset[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Code:
    """The packages under `root` that are looked at, and the modules that import all that runs need."""

    root: Path
    packages: tuple[str, ...]
    modules: tuple[str, ...]

    def fingerprint(self) -> Fingerprint:
        """Every source file with its time and size: what is equal has not been touched in between.

        It costs about a millisecond, and misses only a change that keeps both.
        """
        return frozenset(self._files())

    def _files(self) -> Iterator[tuple[str, int, int]]:
        folders = [self.root / package for package in self.packages]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                        elif entry.name.endswith(".py"):
                            status = entry.stat()
                            yield entry.path, status.st_mtime_ns, status.st_size
            except FileNotFoundError:  # it goes while we look: the next look shows how it ends
                continue


OWN = Code(ROOT, ("flows", "tasks", "deployments/worker"), ("deployments.worker.own", "deployments.worker.preloaded"))
