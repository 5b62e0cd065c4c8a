"""Says on stderr what is measured at the moment: the table comes at the end, and some of it takes minutes."""

from __future__ import annotations

from datetime import datetime

from deployments.cli.output import err


def progress(text: str) -> None:
    """One line with the time."""
    err.print(f"{datetime.now():%H:%M:%S}  {text}", markup=False)
