"""What worker, template and child say to each other: one JSON object per line, over a socket pair per child."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from pydantic import BaseModel, ConfigDict

PULSE_SECONDS = 2.0
"""A child gives a sign of life this often. One that is halted, or stuck in native code, does not."""


def process_name(pid: int) -> str:
    """A process as Prefect shows it."""
    return f"{socket.gethostname()}:{pid}"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self) -> bytes:
        """As it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Ready(_Line):
    """The template has imported everything, or says in one sentence why not."""

    version: str = ""
    failed: str = ""


class Hello(_Line):
    """A child is there."""

    pid: int
    version: str


class Order(_Line):
    """One run for one child.

    `own` is the entrypoint when the run is made of the code that the child has imported; without, the flow is loaded
    as its deployment says. `environment` are the variables in which the run differs from the worker.
    """

    run: FlowRun
    own: str | None = None
    environment: Mapping[str, str | None] = {}
    folder: Path | None = None
    command: str | None = None
    orphan_seconds: float = 900.0


class Word(StrEnum):
    """What a worker says to a child that is at work, and the child to its worker."""

    CANCEL = "cancel"  # a person wants the run to end
    STOP = "stop"  # the worker ends: leave the run as it is
    ALIVE = "alive"
    DONE = "done"  # the flow is over, the process is about to end

    def line(self) -> bytes:
        """As it is sent."""
        return self.value.encode() + b"\n"
