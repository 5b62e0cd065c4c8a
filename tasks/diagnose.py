"""Diagnose: all readings side by side, each a Prefect task with a deadline and retries of its own.

A reading that cannot be had becomes `Unknown` with its reason; the diagnosis itself never fails.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from prefect import State
from prefect.futures import PrefectFuture
from prefect.runtime import task_run
from prefect.states import Failed

from tasks.case import Case, Taken, try_again
from tasks.ledger import Evidence
from tasks.model.evidence import Probe, Reading, Unknown, not_stale
from tasks.platform import Platform
from tasks.systems.errors import explain, is_transient

P = TypeVar("P", bound=Platform)
F = TypeVar("F")
T = TypeVar("T")

RETRIES = 2


def diagnose(case: Case[P, F]) -> F:
    """Takes all readings that the runbook wants and returns its evidence."""
    wanted = case.runbook.probes(case.platform)
    futures = [_submit(case, probe) for probe in wanted]
    began = time.monotonic()
    taken = tuple(
        Taken(probe.name, _result(probe, future, began)) for probe, future in zip(wanted, futures, strict=True)
    )
    case.after = [*futures]
    case.rounds.append(taken)
    case.ledger.runs.saw(case.run_id, [_evidence(case, one) for one in taken])
    for reading in taken:
        case.note("saw", f"{reading.name}: {reading.reading}")
    answers = iter(taken)

    def look(probe: Probe[Any]) -> Any:
        reading = next(answers).reading
        return reading if isinstance(reading, Unknown) else reading.value

    return case.runbook.evidence(look, case.platform)


def _evidence(case: Case[P, F], taken: Taken) -> Evidence:
    reading = taken.reading
    source, lag, at = "", 0.0, datetime.now(UTC)
    if isinstance(reading, Reading):
        source, lag, at = reading.source, reading.lag.total_seconds(), reading.at
    return Evidence(case.run_id, len(case.rounds), taken.name, str(reading), source, lag, at)


def _submit(case: Case[P, F], probe: Probe[T]) -> PrefectFuture[Any]:
    deadline = time.monotonic() + probe.deadline.total_seconds()

    def take() -> Reading[T] | State[Any]:
        try:
            return not_stale(probe.read(), case.platform.pace.stale_after)
        except Exception as error:  # any failure of a probe is an answer: unknown, and why
            text = Unknown.because(explain(error)).reason
            again = None
            if is_transient(error) and time.monotonic() < deadline:
                again = try_again(text, task_run.run_count, RETRIES)
            return again or Failed(name="Unknown", message=text)

    return case.start("diagnose", f"diagnose: {probe.name}", take, retries=RETRIES)


def _result(probe: Probe[T], future: PrefectFuture[Any], began: float) -> Reading[T] | Unknown:
    left = began + probe.deadline.total_seconds() - time.monotonic()
    with suppress(TimeoutError):  # told apart by the state, below
        future.wait(timeout=max(0.1, left))
    state = future.state
    if state.is_completed():
        reading: Reading[T] = future.result()
        return reading
    if state.is_failed():
        return Unknown.because(state.message or "the probe failed")
    return Unknown(f"no answer within {probe.deadline.total_seconds():g} s")
