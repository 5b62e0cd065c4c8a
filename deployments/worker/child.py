"""A child: waits for its order, executes that one run as Prefect's engine would, and ends."""

from __future__ import annotations

import asyncio
import inspect
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import httpx
from prefect import Flow
from prefect.context import SettingsContext, get_settings_context
from prefect.engine import handle_engine_signals
from prefect.flow_engine import load_flow, run_flow
from prefect.logging.loggers import flow_run_logger
from prefect.settings import Settings

from deployments.worker.lifeline import Lifeline
from deployments.worker.opening import OpeningClient, opening_context
from deployments.worker.orders import Hello, Order, process_name
from tasks.settings import settings
from tasks.version import ROOT

WORTH_MORE = 300  # of the kernel's 1000 points: when memory runs out, a run goes before the worker that reports it


def live(channel: socket.socket, version: str) -> int:
    """What a child does from its fork to its end. Returns the exit code of the process."""
    os.setsid()  # what is sent to the worker's terminal is not meant for the run
    name_process("runbooks-spare")
    with ExitStack() as ready:
        client = prepare(ready)
        order = introduce(channel, version)
        if order is None:
            return 0
        name_process("runbooks-run")
        expendable()
        other = {name: value for name, value in order.environment.items() if os.environ.get(name) != value}
        if other:
            ready.close()
            client = None
            adopt(ready, other)
        lifeline = Lifeline(channel, order)
        lifeline.start()
        try:
            return execute(order, client)
        finally:
            lifeline.done()


def prepare(ready: ExitStack) -> OpeningClient | None:
    """Does while there is time what every run would do first: connects to the Prefect server."""
    with suppress(httpx.HTTPError, RuntimeError):  # so Prefect says that it cannot be reached; then the run will see
        context, client = opening_context()
        ready.enter_context(context)
        client.prepare()
        return client
    return None


def introduce(channel: socket.socket, version: str) -> Order | None:
    """Says that the child is ready, and waits for its order; None when the worker does not need it, or is gone."""
    received = bytearray()
    with suppress(ConnectionError):
        channel.sendall(Hello(pid=os.getpid(), version=version).line())
        while some := channel.recv(1 << 16):
            received += some
            if received.endswith(b"\n"):
                return Order.model_validate_json(received)
    return None


def adopt(ready: ExitStack, environment: Mapping[str, str | None]) -> None:
    """Takes over the variables of this run, and forgets every setting that was read without them."""
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    settings.cache_clear()
    ready.enter_context(SettingsContext(profile=get_settings_context().profile, settings=Settings()))


def execute(order: Order, client: OpeningClient | None) -> int:
    """Runs the flow; what comes of it is told to Prefect by its engine."""
    run = order.run
    os.environ["PREFECT__FLOW_RUN_ID"] = str(run.id)
    os.chdir(order.folder or ROOT)
    if order.command:
        return execute_command(order.command)
    logger: Any = flow_run_logger(run)  # Any: Prefect's own types disagree about what it is
    with handle_engine_signals(run.id):
        try:
            flow = _own(order.own)
            if flow is not None and client is not None:
                client.open(run, process_name(os.getpid()))
            elif flow is None:
                flow = load_flow(run)
        except Exception:
            logger.error("The flow cannot be loaded", exc_info=True)
            raise
        _drive(run_flow(flow, flow_run=run, error_logger=logger))
    return 0


def execute_command(command: str) -> int:
    """Runs what the work pool or the deployment wants instead of the flow. When this process is told to end, so is all
    that the command has started."""

    def tell_all(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes back to us, too
        os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGTERM, tell_all)
    return subprocess.call(shlex.split(command))


def _own(entrypoint: str | None) -> Flow[..., Any] | None:
    if entrypoint is None:
        return None
    from deployments.worker.own import own_flows  # imported by the template, if it is one of our own code

    return own_flows().get(entrypoint)


def _drive(outcome: object) -> None:
    """Executes what an asynchronous or a generating flow has only begun."""
    if inspect.isasyncgen(outcome):
        asyncio.run(_exhaust(outcome))
    elif inspect.iscoroutine(outcome):
        asyncio.run(outcome)
    elif inspect.isgenerator(outcome):
        for _ in outcome:
            pass


async def _exhaust(outcome: AsyncIterator[Any]) -> None:
    async for _ in outcome:
        pass


def name_process(name: str) -> None:
    """Shows a name of at most 15 characters in `ps -o comm` and `top`."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)


def expendable() -> None:
    """Lets the kernel take this process first."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(WORTH_MORE))
