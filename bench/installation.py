"""The installation that is measured: a Prefect server, the intake, and a healthy practice ground to look at."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.practice import SITE, practice_site
from deployments.stack import INTAKE, SERVER, Addresses, Stack
from lab.ground import Ground
from tasks.ledger import Ledger
from tasks.systems.prefect import get_client


@dataclass(frozen=True)
class Installation:
    """Everything but a worker; which one is measured is up to the bench."""

    stack: Stack
    at: Addresses
    ledger: Ledger
    seconds: Mapping[str, float]  # until each part answered


@contextmanager
def installed(database: str = "") -> Iterator[Installation]:
    """Brings everything up in a temporary folder, with the practice ground as a site, and takes it down again.

    `database` is an empty one for the Prefect server, as SQLAlchemy names it; without, it has a SQLite file.
    """
    extra = {"PREFECT_API_DATABASE_CONNECTION_URL": database} if database else {}
    with tempfile.TemporaryDirectory(prefix="runbooks-bench-") as name:
        stack, ground = Stack(Path(name), extra), Ground(Path(name) / "lab")
        try:
            with stack.entered() as at, ThreadPoolExecutor(1) as pool:
                server = _timed(stack.start_server)
                endpoints = pool.submit(ground.up, observability=False).result()
                stack.deploy()
                practice_site(endpoints).save(SITE, overwrite=True)
                stack.start_intake()
                intake = _timed(stack.await_intake)
                pause_the_schedules()
                ledger = Ledger(at.ledger)
                try:
                    yield Installation(stack, at, ledger, {SERVER: server, INTAKE: intake})
                finally:
                    ledger.close()
        finally:
            ground.down()
            stack.stop()


def _timed(start: Callable[[], None]) -> float:
    began = time.monotonic()
    start()
    return time.monotonic() - began


def pause_the_schedules() -> None:
    """No scheduled run disturbs what is measured."""
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            if deployment.schedules:
                client.pause_deployment(deployment.id)
