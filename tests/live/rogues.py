"""Flows that misbehave, for the tests of the worker. Each writes into the file that it is given what it saw."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
import uuid
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run


def note(file: str, text: str) -> None:
    with open(file, "a") as notes:
        notes.write(text + "\n")


@flow(name="rogue-well")
def well(file: str) -> str:
    """Ends well, and tells what a child could have in common with another one."""
    print("printed by a flow")  # noqa: T201 - what it prints is looked for
    environment = os.environ.get("ROGUE", "unset")
    note(file, f"{flow_run.id} {os.getpid()} {random.random()} {uuid.uuid4()} {environment}")  # noqa: S311
    return "well"


@flow(name="rogue-asynchronous")
async def asynchronous(file: str) -> str:
    """An asynchronous flow."""
    await asyncio.sleep(0.01)
    note(file, str(os.getpid()))
    return "well"


@flow(name="rogue-waits")
def waits(file: str, seconds: float = 300) -> str:
    """Is at work for a while."""
    note(file, str(os.getpid()))
    time.sleep(seconds)
    return "well"


@flow(name="rogue-overtime", timeout_seconds=1)
def overtime(file: str) -> None:
    """Takes longer than it may."""
    note(file, str(os.getpid()))
    time.sleep(300)


@flow(name="rogue-leaves")
def leaves(file: str) -> None:
    """Ends its process without a word."""
    note(file, str(os.getpid()))
    os._exit(3)


@flow(name="rogue-killed")
def killed(file: str) -> None:
    """Is killed."""
    note(file, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


@flow(name="rogue-halted")
def halted(file: str) -> None:
    """Is halted: nothing of it goes on."""
    note(file, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


@flow(name="rogue-broken")
def broken(file: str) -> None:
    """Fails."""
    raise RuntimeError(Path(file).name)
