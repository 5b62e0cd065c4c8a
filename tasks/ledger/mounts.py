"""On what kind of filesystem a folder lies."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "smb3",
        "smbfs",
        "virtiofs",
    ]
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs"})  # the root of a container without root


def network_filesystem(folder: Path) -> str:
    """The kind of the network filesystem that the folder is on, or the empty string when it is on this host alone.

    What is mounted by a program of a user (`fuse.*`) counts as a network filesystem: it is one nearly always. Where the
    system does not tell its mounts, nothing is found.
    """
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""
    kind = _filesystem(folder.resolve(), mounts)
    return kind if kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE) else ""


def _filesystem(folder: Path, mounts: str) -> str:
    """The kind of the filesystem that is mounted nearest above the folder; of two on one place the later one."""
    depth, kind = -1, ""
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        place = Path(_unescaped(mount.split(" ")[4]))
        if folder.is_relative_to(place) and len(place.parts) >= depth:
            depth, kind = len(place.parts), source.split(" ")[0]
    return kind


def _unescaped(path: str) -> str:
    """A path as the kernel writes it: a space is `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
