"""What Prefect's engine costs for one probe: the same work as a task of a run, and as a plain call, in one run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import Task, flow

from bench.installation import installed
from bench.progress import progress
from bench.table import Measured, Table

TITLE = "probes: the engine's cost for one"
AT_ONCE = 8  # about as many as a diagnosis takes side by side


def measure(probes: int) -> Table:
    """So many probes that do nothing, in groups as a diagnosis takes them."""
    progress("starting everything")
    with installed():
        progress(f"{probes} probes as tasks, then as plain calls")
        as_tasks, cpu = _in_a_run(probes)
    plain = []
    for _ in range(probes):
        began = time.perf_counter()
        _nothing()
        plain.append((time.perf_counter() - began) * 1000)
    return Table(
        TITLE,
        (
            Measured("time for a probe", "ms", tuple(as_tasks), "task of a run"),
            Measured("time for a probe", "ms", tuple(plain), "plain call"),
            Measured("CPU of this process for a probe", "ms", (cpu,), "task of a run"),
        ),
        note=f"Tasks are submitted {AT_ONCE} at a time; the time is a group's, divided by {AT_ONCE}.",
    )


def _nothing() -> int:
    return 1


@contextmanager
def quiet() -> Iterator[None]:
    """Prefect does not say of each task how it ended."""
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _in_a_run(probes: int) -> tuple[list[float], float]:
    times: list[float] = []

    @flow(name="bench-probes")
    def bench() -> None:
        for _ in range(max(1, probes // AT_ONCE)):
            began = time.perf_counter()
            pieces: list[Any] = [Task(_nothing, name="probe", persist_result=False) for _ in range(AT_ONCE)]
            for future in [piece.submit() for piece in pieces]:
                future.result()
            times.append((time.perf_counter() - began) * 1000 / AT_ONCE)

    began = time.process_time()
    with quiet():
        bench()
    return times, (time.process_time() - began) * 1000 / (len(times) * AT_ONCE)
