"""A whole installation on one machine, for the demo and the tests: Prefect server, work pool, worker, alert intake.

Everything lives in one folder and listens on free loopback ports; what was started is ended by its pid file.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings
from prefect.workers.process import ProcessWorker

from deployments import automations, database
from deployments.command import CommandFailed, run_module
from deployments.manifest import WORK_POOL
from lab import plain_http
from lab.model import Webhook
from lab.processes import Processes
from tasks.settings import settings
from tasks.systems.prefect import get_client

SERVER, WORKER, INTAKE = "prefect-server", "worker", "intake"
STOCK_WORKER = "stock"
GRACE_SECONDS = 3.0  # what is stopped here is not waited for
SEES_THROUGH_SECONDS = GRACE_SECONDS + 50  # but what it is writing is, until the worker itself kills what does not end
START_SECONDS = 180.0  # a new SQLite file costs the server half a minute on a busy machine


class StackError(Exception):
    """A part of the stack does not start; the text is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a stack are."""

    prefect: str
    intake: str
    ledger: str
    token: str = field(repr=False)

    @property
    def api(self) -> str:
        """Prefect's API."""
        return f"{self.prefect}/api"

    @property
    def webhook(self) -> Webhook:
        """What an Alertmanager has to call."""
        return Webhook(f"{self.intake}/alerts", self.token)

    def run_page(self, run: str) -> str:
        """The page of a run in the Prefect UI."""
        return f"{self.prefect}/runs/flow-run/{run}"


class Stack:
    """An installation in a state folder. What it needs of the environment it sets itself."""

    def __init__(self, state: Path, extra: Mapping[str, str] | None = None) -> None:
        """Keep everything in `state`. `extra` are further environment variables for all processes."""
        self._state = state.resolve()
        self._extra = dict(extra or {})
        self._processes = Processes(self._state / "processes")
        self._file = self._state / "stack.json"

    @property
    def addresses(self) -> Addresses:
        """Where the parts are, chosen at first use and kept.

        Raises:
            StackError: the state folder cannot be written.
        """
        if not self._file.exists():
            prefect, intake = _free_ports(2)
            addresses = Addresses(
                prefect=f"http://127.0.0.1:{prefect}",
                intake=f"http://127.0.0.1:{intake}",
                ledger=f"sqlite:///{self._state / 'ledger.db'}",
                token=secrets.token_urlsafe(24),
            )
            try:
                self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file.touch(mode=0o600)
                self._file.write_text(json.dumps(asdict(addresses)))
            except OSError as error:
                raise StackError(f"cannot write to {self._state}: {error.strerror}") from error
        return Addresses(**json.loads(self._file.read_text()))

    def environment(self) -> dict[str, str]:
        """The environment variables with which commands reach this stack."""
        at = self.addresses
        return {
            "PREFECT_HOME": str(self._state / "prefect"),
            "PREFECT_API_URL": at.api,
            "PREFECT_UI_URL": at.prefect,
            "PREFECT_SERVER_UI_API_URL": at.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "RUNBOOKS_LEDGER": at.ledger,
            "RUNBOOKS_INTAKE_TOKEN": at.token,
            "RUNBOOKS_PAUSE_FILE": str(self._state / "PAUSED"),
            "RUNBOOKS_WORKER_FOLDER": str(self._state / "workers"),
            **self._extra,
        }

    def start_server(self) -> None:
        """Starts the Prefect server, if it does not run, and waits until it answers.

        Raises:
            StackError: it has no database, or does not start.
        """
        at = self.addresses
        try:
            database.provide(self._state / "prefect" / "prefect.db")
        except (OSError, database.DatabaseError) as error:
            raise StackError(f"the Prefect server has no database: {error}") from error
        host, port = at.prefect.removeprefix("http://").split(":")
        self._start(SERVER, ["deployments.server", "--host", host, "--port", port])
        self._wait("the Prefect server", f"{at.api}/health", SERVER)

    def create_pool(self) -> None:
        """Creates the work pool."""
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=WORK_POOL, type=ProcessWorker.type, base_job_template=template)
        with self._client() as client:
            client.create_work_pool(pool, overwrite=True)

    def deploy(self) -> None:
        """Creates the work pool and deploys everything that `prefect.yaml` names, and the automations beside it."""
        self.create_pool()
        self._run(["prefect", "--no-prompt", "deploy", "--all"])
        with self._client() as client:
            automations.apply(client)

    def start_worker(self, *, stock: bool = False, options: tuple[str, ...] = ()) -> None:
        """Starts a worker, if none runs, and waits until it asks for work: ours, or Prefect's own process worker."""
        # Prefect keeps a folder in the temporary one that only its first user may write to.
        temporary = self._state / "tmp"
        temporary.mkdir(exist_ok=True)
        # One that was killed a moment ago counts as online until its next sign of life is overdue.
        since = datetime.min.replace(tzinfo=UTC) if self._processes.running(WORKER) else datetime.now(UTC)
        ours = ["deployments.cli", "worker", "--name", WORKER, "--grace", f"{GRACE_SECONDS:g}", *options]
        stocks = ["prefect", "worker", "start", "--pool", WORK_POOL, "--name", STOCK_WORKER]
        self._start(WORKER, stocks if stock else ours, {"TMPDIR": str(temporary)})
        name = STOCK_WORKER if stock else WORKER
        self._processes.wait("the worker", lambda: self._worker_is_online(name, since), (WORKER,), START_SECONDS)

    def stop_worker(self) -> None:
        """Ends the worker in order. Nothing happens if none runs."""
        self._processes.stop((WORKER,), patience=SEES_THROUGH_SECONDS)

    def _worker_is_online(self, name: str, since: datetime) -> bool:
        workers = f"{self.addresses.api}/work_pools/{WORK_POOL}/workers/filter"
        answer = httpx.post(workers, json={}, timeout=5, trust_env=False, verify=plain_http.TRUSTS_NOBODY)
        return answer.status_code == 200 and any(
            worker["name"] == name and datetime.fromisoformat(worker["last_heartbeat_time"]) >= since
            for worker in answer.json()
            if worker["status"] == "ONLINE"
        )

    def start_intake(self) -> None:
        """Starts the alert intake, if it does not run."""
        host, port = self.addresses.intake.removeprefix("http://").split(":")
        self._start(INTAKE, ["deployments.cli", "intake", "--host", host, "--port", port])

    def await_intake(self) -> None:
        """Waits until the alert intake answers."""
        self._wait("the alert intake", f"{self.addresses.intake}/health", INTAKE)

    def pid(self, name: str) -> int:
        """The process of a part.

        Raises:
            StackError: it does not run.
        """
        pid = self._processes.pid(name)
        if pid is None:
            raise StackError(f"{name} does not run")
        return pid

    def kill(self, name: str) -> None:
        """Ends one of the processes with SIGKILL, without a word, as a crash would."""
        self._processes.kill(name)

    def stop(self) -> None:
        """Ends everything that was started here. Nothing happens if nothing runs."""
        self._processes.stop((INTAKE,))
        self.stop_worker()  # sees through what its runs are writing
        self._processes.stop((SERVER,))

    @contextmanager
    def entered(self) -> Iterator[Addresses]:
        """This process with the stack's environment, for the time of the block."""
        at, before = self.addresses, dict(os.environ)
        os.environ.update(self.environment())
        settings.cache_clear()
        try:
            # Prefect read the environment when it was imported.
            with temporary_settings({PREFECT_API_URL: at.api, PREFECT_UI_URL: at.prefect}):
                yield at
        finally:
            os.environ.clear()
            os.environ.update(before)
            settings.cache_clear()

    def _start(self, name: str, module: list[str], extra: Mapping[str, str] | None = None) -> None:
        if not self._processes.running(name):
            self._processes.start(name, [sys.executable, "-m", *module], {**self.environment(), **(extra or {})})

    def _wait(self, what: str, url: str, process: str) -> None:
        self._processes.wait(what, lambda: plain_http.get(url) is not None, (process,), START_SECONDS)

    def _run(self, module: list[str]) -> None:
        try:
            run_module(module, self.environment(), START_SECONDS)
        except CommandFailed as error:
            raise StackError(f"`{' '.join(module)}` failed: {error}") from error

    @contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        """A client of this stack's server, whichever this process itself uses."""
        with temporary_settings({PREFECT_API_URL: self.addresses.api}), get_client(sync_client=True) as client:
            yield client


def _free_ports(count: int) -> list[int]:
    """Loopback ports that nobody uses at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
