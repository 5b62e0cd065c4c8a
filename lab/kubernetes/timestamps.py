"""Timestamps as the Kubernetes API writes them: RFC 3339, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def seconds(at: datetime | None = None) -> str:
    """`metav1.Time`: whole seconds, for example `2024-01-15T03:00:00Z`; the present when no time is given."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros(at: datetime | None = None) -> str:
    """`metav1.MicroTime`: microseconds, for example `2024-01-15T03:00:00.123456Z`."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def nanos() -> str:
    """The present with nine decimals, as container logs carry it (RFC3339Nano)."""
    whole, fraction = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def parse(text: str) -> datetime:
    """Reads any of the three forms. Raises ValueError for anything else."""
    head, dot, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}{dot}{fraction[:6]}").replace(tzinfo=UTC)


def age(text: str) -> float:
    """Seconds since the given timestamp."""
    return (datetime.now(UTC) - parse(text)).total_seconds()
