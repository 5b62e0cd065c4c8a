"""Which code made a run: a hash over the sources, so that it is true in a checkout as in an image."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or the folder into which the packages were installed."""


@cache
def code_version() -> str:
    """The package's version and a hash of all sources under `flows` and `tasks`, e.g. `0.1.0+3f2a91c07b1d`."""
    digest = hashlib.sha256()
    for package in ("flows", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(path.read_bytes())
    return f"{version('prefect-runbooks')}+{digest.hexdigest()[:12]}"
