"""`runbooks worker`: executes runs, each in a child that was forked in advance."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Annotated

from cyclopts import Parameter
from prefect.client.orchestration import get_client

from deployments.cli.installation import named_server
from deployments.cli.output import Exit, UserError, log_to_stderr
from deployments.manifest import ENVIRONMENT
from deployments.worker.orders import PULSE_SECONDS
from deployments.worker.process import become_reaper
from deployments.worker.records import AlreadyRuns, Records
from deployments.worker.server import NoPool, Server
from deployments.worker.slots import Slots, reserved_by_default
from deployments.worker.worker import Patience, Worker
from tasks.settings import settings


def worker(
    *,
    name: Annotated[str, Parameter(help="Name in the Prefect UI; by default that of the host.")] = "",
    limit: Annotated[int, Parameter(help="At most so many runs at once.")] = 10,
    reserve: Annotated[
        int | None,
        Parameter(help="So many of them only for critical runbooks, giving back and calling people; by default 4."),
    ] = None,
    spares: Annotated[int, Parameter(help="Children that are kept ready.")] = 2,
    grace: Annotated[float, Parameter(help="Seconds that runs have to end when the worker is told to stop.")] = 25,
    silent: Annotated[float, Parameter(help="Seconds without a sign of life after which a run is killed.")] = 90,
    longest: Annotated[float, Parameter(help="Seconds after which any run is taken for hung and killed.")] = 7200,
) -> int:
    """Serve the work pool `runbooks`: execute its runs, each in a warm child of its own.

    Ends in order on SIGTERM and Ctrl-C, and at once when told twice. `prefect worker start --pool runbooks` serves the
    same pool, only slower; both may run side by side.
    """
    name = name or socket.gethostname()
    named_server()
    if "/" in name or "%" in name or name.startswith("."):
        raise UserError(f"{name!r} cannot be a worker's name: no '/', no '%', no '.' at the beginning")
    try:
        slots = Slots(limit, reserved_by_default(limit) if reserve is None else reserve)
        records = Records(settings().worker_folder / name)
    except (ValueError, AlreadyRuns) as error:
        raise UserError(str(error)) from error
    if spares < 1 or grace < 0 or longest <= 0 or silent < 2 * PULSE_SECONDS:
        raise UserError("--spares must be at least 1, --grace 0, --silent 4, and --longest more than 0")
    log_to_stderr("%(asctime)s  %(levelname)-7s  %(message)s")
    become_reaper()
    for variable, value in ENVIRONMENT.items():  # what our deployments want: no child has to change it then
        os.environ.setdefault(variable, value)
    try:
        asyncio.run(_work(name, records, slots, spares, Patience(grace, silent, longest)))
    except NoPool as error:
        raise UserError(str(error)) from error
    return Exit.FINE


async def _work(name: str, records: Records, slots: Slots, spares: int, patience: Patience) -> None:
    async with get_client() as client:
        await Worker(name, Server(client, name), records, slots, spares, patience).work()
