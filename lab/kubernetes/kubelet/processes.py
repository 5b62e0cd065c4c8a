"""What the processes of containers use, read from `/proc` in one pass; a container's processes share its session."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the start, of reaped children too, and resident memory in bytes."""

    cpu: float
    memory: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.memory + other.memory)


def usage_by_session() -> dict[int, Usage]:
    """What every session on this machine uses, by the pid of its leader."""
    found: dict[int, Usage] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended since the folder was listed.
        session = int(fields[3])
        usage = Usage(sum(int(field) for field in fields[11:15]) / _TICKS, int(fields[21]) * _PAGE)
        found[session] = found[session] + usage if session in found else usage
    return found
