"""`./dev bench`: measures, and prints a table or JSON with the facts of the machine."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
import prefect
import psutil
from cyclopts import Parameter
from cyclopts.validators import Number

from bench import crowd, intake, latency, probes, processes
from bench.table import Table
from deployments.cli.output import Exit, Json, out, print_json, print_table
from tasks.version import code_version

app = cyclopts.App(
    name="./dev bench",
    help="Measure how quick it is, beside the alternative in the same run.",
    result_action="return_value",
    version_flags=[],
)
Database = Annotated[
    str,
    Parameter(
        help="An empty database for the Prefect server, e.g. postgresql+asyncpg://user@127.0.0.1/prefect. "
        "Left out: a SQLite file."
    ),
]


def machine() -> dict[str, str | int | float]:
    """What the figures were measured on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code_version(),
        "python": platform.python_version(),
        "prefect": prefect.__version__,
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


@app.command(name="intake")
def measure_intake(
    *,
    alerts: Annotated[int, Parameter(help="Alerts in each burst.", validator=Number(gte=8))] = 5_000,
    rate: Annotated[float, Parameter(help="Alerts per second in the steady stream.", validator=Number(gt=0))] = 100,
    seconds: Annotated[float, Parameter(help="Length of the steady stream.", validator=Number(gte=2))] = 20,
    json: Json = False,
) -> int:
    """How many alerts the intake takes, beside Prefect's own door for events."""
    facts = machine()
    result = intake.measure(alerts, rate, seconds)
    if json:
        print_json({"machine": facts, "ratios": result.ratios, **asdict(result)})
        return Exit.FINE
    print_table(("figure", "value", ""), intake.table(result), empty="Nothing was measured.")
    print_table(("machine", ""), [(name, str(value)) for name, value in facts.items()], empty="")
    return Exit.FINE


@app.command(name="latency")
def measure_latency(
    *,
    trials: Annotated[int, Parameter(help="Alerts for each worker.", validator=Number(gte=1))] = 30,
    database: Database = "",
    json: Json = False,
) -> int:
    """How long from the webhook's call to the first probe of a run, beside the stock worker."""
    return _show(lambda: latency.measure(trials, database), json=json, server_on=_kind(database))


@app.command(name="crowd")
def measure_crowd(
    *,
    incidents: Annotated[int, Parameter(help="Incidents at once.", validator=Number(gte=1))] = 100,
    database: Database = "",
    json: Json = False,
) -> int:
    """How long a critical incident waits behind many others."""
    return _show(lambda: crowd.measure(incidents, database), json=json, server_on=_kind(database))


@app.command(name="processes")
def measure_processes(*, json: Json = False) -> int:
    """How long each part takes to start, and how much memory its processes take."""
    return _show(processes.measure, json=json)


@app.command(name="probes")
def measure_probes(
    *,
    probes_: Annotated[int, Parameter(name="--probes", help="Probes.", validator=Number(gte=8))] = 400,
    json: Json = False,
) -> int:
    """What Prefect's engine costs for one probe."""
    return _show(lambda: probes.measure(probes_), json=json)


def _kind(database: str) -> str:
    return database.partition("+")[0] or "sqlite"


def _show(measure: Callable[[], Table], *, json: bool, **more: str) -> int:
    facts = machine() | more
    table = measure()
    facts["load_after"] = round(os.getloadavg()[0], 2)
    if json:
        print_json({"machine": facts, **table.as_json()})
        return Exit.FINE
    table.show(out)
    print_table(("machine", ""), [(name, str(value)) for name, value in facts.items()], empty="")
    return Exit.FINE


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    for signum in (signal.SIGTERM, signal.SIGINT):  # ended from outside, everything is still taken down
        signal.signal(signum, signal.default_int_handler)
    sys.exit(int(app() or 0))
