"""How long each part takes to start, and how much memory its processes take.

Memory is what a process has for itself and its share of what it has in common with others (PSS): only so do forked
children and their template add up to what the machine gives.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from bench.installation import Installation, installed
from bench.latency import PATIENCE_SECONDS, WORKERS, trial_run
from bench.progress import progress
from bench.table import Measured, Table
from deployments.stack import INTAKE, SERVER, WORKER
from tests.waiting import wait_for

TITLE = "processes: start-up and memory"
MIB = 1 << 20


def measure() -> Table:
    """Starts everything, and a run in each worker, and looks at the processes."""
    progress("starting everything")
    with installed() as at:
        rows = [
            Measured("start-up", "s", (at.seconds[SERVER],), "Prefect server"),
            Measured("start-up", "s", (at.seconds[INTAKE],), "intake"),
        ]
        for name, stock in WORKERS.items():
            rows += _worker(at, name, stock=stock)
        rows += [
            Measured("memory", "MiB", (memory(at.stack.pid(SERVER)),), "Prefect server"),
            Measured("memory", "MiB", (memory(at.stack.pid(INTAKE)),), "intake"),
        ]
    return Table(TITLE, tuple(rows))


def _worker(at: Installation, name: str, *, stock: bool) -> list[Measured]:
    progress(f"{name}: starting, then one run")
    began = time.monotonic()
    at.stack.start_worker(stock=stock)
    rows = [Measured("start-up, online", "s", (time.monotonic() - began,), name)]
    worker = psutil.Process(at.stack.pid(WORKER))
    if not stock:
        wait_for("two spares", lambda: len(named(worker, "runbooks-spare")) >= 2, PATIENCE_SECONDS, every=0.05)
        rows.append(Measured("start-up, all spares ready", "s", (time.monotonic() - began,), name))
        rows.append(Measured("memory, template", "MiB", tuple(memory(c.pid) for c in named(worker, "python")), name))
        spares = tuple(memory(child.pid) for child in named(worker, "runbooks-spare"))
        rows.append(Measured("memory, spare child", "MiB", spares, name))
    with trial_run(at):
        at_work = wait_for(
            "a run's process", lambda: next(iter(runs(worker, stock=stock)), None), PATIENCE_SECONDS, every=0.05
        )
        highest = highest_memory(at_work.pid)
    rows.append(Measured("memory, run at work", "MiB", (highest,), name))
    rows.append(Measured("memory, worker", "MiB", (memory(worker.pid),), name))
    at.stack.stop_worker()
    return rows


def highest_memory(pid: int) -> float:
    """The most memory that a process had until it ended, in MiB."""
    seen: list[float] = []

    def ended() -> bool:
        seen.append(memory(pid))
        return not seen[-1]

    wait_for("the end of the run's process", ended, PATIENCE_SECONDS, every=0.05)
    return max(seen)


def runs(worker: psutil.Process, *, stock: bool) -> list[psutil.Process]:
    """The processes that execute runs."""
    if not stock:
        return named(worker, "runbooks-run")
    return [child for child in worker.children(recursive=True) if "prefect" in " ".join(child.cmdline())]


def named(worker: psutil.Process, name: str) -> list[psutil.Process]:
    """The worker's children of a kind: `ps -o comm` shows what they are."""
    return [child for child in worker.children() if child.name().startswith(name)]


def memory(pid: int) -> float:
    """The proportional share of memory of a process, in MiB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return kib * 1024 / MIB
