"""One example: a plant, a ledger in a file, a Prefect that is only an edge, and processes that run production code.

What runs is production code from the top: `respond`, the restore flow, the watch of the intake, the intake's handling
of alerts. Only what lies outside is put in its place: Prefect, the target, the clock.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from prefect import State
from prefect.exceptions import Pause
from sqlalchemy.engine import URL, make_url

import deployments.intake.watch
import flows.incidents.restore
import tasks.approval
import tasks.case
import tasks.conclude
import tasks.diagnose
import tasks.failpoint
import tasks.heartbeat
import tasks.incidents
import tasks.installation
import tasks.ledger.database
import tasks.making
import tasks.respond
import tasks.switch
import tasks.validate
from deployments.intake.announce import Announcer
from deployments.intake.handle import handle
from deployments.intake.watch import Watch
from deployments.intake.webhook import Alert
from tasks.case import Case
from tasks.incidents import announce
from tasks.ledger import Ledger
from tasks.ledger.database import Database
from tasks.ledger.runs import Runs
from tasks.model.incident import Incident
from tasks.respond import Request, respond
from tasks.settings import Settings
from tasks.sites import Saved, Site
from tests.properties import processes
from tests.properties.clock import Clock, turn
from tests.properties.edges import FlowRun, Prefect, Runtime, task_class
from tests.properties.judge import Judge
from tests.properties.plant import RUNBOOKS, Plant
from tests.properties.processes import Host, Process, Threads
from tests.properties.world import World

SITE = "plant"
PACE = {
    "poll_seconds": 30,
    "settle_seconds": 30,
    "quick_check_minutes": 1,
    "give_back_seconds": 30,
    "approve_minutes": 5,
    "lease_seconds": 90,
    "verify_minutes": 1,
    "look_back_seconds": 120,
}
_HERE = "the theatre's"  # the ledger of the settings, wherever the theatre keeps it
_LOGS = ("runbooks.watch", "runbooks.heartbeat")


_make_engine = tasks.ledger.database._sqlite
_on_stage: list[Theatre] = []


@cache
def _empty_ledger() -> bytes:
    """A ledger that was just made: the migrations run once, not for every example."""
    folder = Path(tempfile.mkdtemp())
    try:
        Ledger(f"sqlite:///{folder / 'ledger.db'}").close()
        return (folder / "ledger.db").read_bytes()
    finally:
        shutil.rmtree(folder)


@cache
def _shared_engine() -> sa.Engine:
    """The engine of production code, for the file and the clock of whichever theatre plays.

    One for all examples, because it compiles each statement once and that takes more time than all else. Commits do
    not wait for the disk: processes die here, hosts do not.
    """
    engine = _make_engine(make_url("sqlite:///of-the-theatre"), lambda: _on_stage[-1].clock.now())

    def where(dialect: Any, record: Any, arguments: list[Any], options: Any) -> None:
        arguments[0] = str(_on_stage[-1].folder / "ledger.db")

    sa.event.listen(engine, "do_connect", where)
    sa.event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous=OFF"))
    return engine


class Theatre:
    """The stage of one example. To be closed."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.host = Host(self.clock)
        self.world = World(self.host)
        self.prefect = Prefect(self.host, [id.replace("_", "-") for id in RUNBOOKS] + ["restore"])
        self.plant = Plant.model_validate(
            {"alert_labels": {"site": SITE}, "pace": PACE, "escalate_after_minutes": 4, **settings}
        )
        self.plant._world = self.world
        self.site = Site(SITE, self.plant)
        self.folder = Path(tempfile.mkdtemp(prefix="properties-"))
        (self.folder / "ledger.db").write_bytes(_empty_ledger())
        self.pause_file = self.folder / "PAUSED"
        self._patch = pytest.MonkeyPatch()
        _on_stage.append(self)
        self._raise_the_curtain()
        self.ledger = self._ledger()  # for people, and for the judge
        self.judge = Judge(self.world, self.plant, self.ledger, self.clock)
        self.judge.paused = self.is_paused
        self.judge.attend(self._patch)
        self.trouble: list[str] = []  # what production code logged as going wrong

    # ---- the edges ----

    def _ledger(self, url: str = _HERE) -> Ledger:
        return Ledger(f"sqlite:///{self.folder / 'ledger.db'}" if url == _HERE else url, self.clock.now)

    def _raise_the_curtain(self) -> None:
        patch, prefect, runtime = self._patch, self.prefect, Runtime()
        turn(patch, self.clock, self.host.sleep)
        numbers = itertools.count(1)  # incidents have the same ids in each play of an example
        ids = SimpleNamespace(uuid4=lambda: uuid.uuid5(uuid.NAMESPACE_OID, str(next(numbers))))
        patch.setattr(tasks.incidents, "uuid", ids)
        patch.setattr(tasks.failpoint, "reach", self.host.reach)
        patch.setattr(tasks.heartbeat, "threading", Threads(self.host))
        settings = Settings(ledger=_HERE, pause_file=self.pause_file)
        for module in (tasks.respond, tasks.switch, tasks.installation):
            patch.setattr(module, "settings", lambda: settings)
        for module in (
            tasks.approval,
            tasks.incidents,
            tasks.installation,
            tasks.respond,
            tasks.switch,
            deployments.intake.watch,
        ):
            patch.setattr(module, "get_client", prefect.client)
        for module, name in (
            (tasks.respond, "flow_run"),
            (flows.incidents.restore, "flow_run"),
            (tasks.making, "task_run"),
            (tasks.diagnose, "task_run"),
            (tasks.approval, "deployment"),
        ):
            patch.setattr(module, name, runtime)
        patch.setattr(tasks.case, "Task", task_class(self.host.sleep))
        patch.setattr(tasks.approval, "suspend_flow_run", prefect.suspend)
        patch.setattr(tasks.approval, "read_flow_run_input", prefect.read_input)
        patch.setattr(tasks.respond, "load_site", lambda platform, name: self.plant)
        patch.setattr(tasks.respond, "Ledger", self._ledger)
        patch.setattr(tasks.respond, "Case", self._case)
        patch.setattr(tasks.installation, "Ledger", self._ledger)
        patch.setattr(flows.incidents.restore, "choose", lambda platforms, name: Saved((self.site,)))
        patch.setattr(flows.incidents.restore, "RUNBOOKS", RUNBOOKS)
        self._patch_what_is_only_shown()
        self._patch_the_database()

    def _case(self, **what: Any) -> Case[Any, Any]:
        case: Case[Any, Any] = Case(**what)
        case.began = case.changed_at = self.clock.steady  # their defaults were bound to the real clock at import
        return case

    def _patch_what_is_only_shown(self) -> None:
        """Artifacts and the run's log in the Prefect UI: nobody acts on them."""
        patch = self._patch
        patch.setattr(tasks.validate, "create_progress_artifact", lambda *a, **k: uuid.UUID(int=0))
        patch.setattr(tasks.validate, "update_progress_artifact", lambda *a, **k: None)
        patch.setattr(tasks.conclude, "publish", lambda report: None)
        patch.setattr(flows.incidents.restore, "create_markdown_artifact", lambda **k: None)
        for name in _LOGS:
            log = logging.getLogger(name)
            patch.setattr(log, "propagate", False)
            patch.setattr(log, "handlers", [_Ear(self)])

    def _patch_the_database(self) -> None:
        """Each write to the ledger is a point before it begins, and nothing reaches it from a dead process."""
        reading, writing, make, note = Database.reading, Database.writing, _make_engine, Runs.note
        reach, quiet = self.host.reach, [False]

        @contextmanager
        def read(database: Database) -> Iterator[sa.Connection]:
            processes.check()
            with reading(database) as tx:
                yield tx

        @contextmanager
        def write(database: Database) -> Iterator[sa.Connection]:
            processes.check()
            if not quiet[0]:
                reach("before ledger")
            with writing(database) as tx:
                yield tx
            self.host.done += not quiet[0]

        def hushed(runs: Runs, *args: str) -> object:
            """Nobody acts on a note: to be killed before one is as to be killed after what came before."""
            quiet[0] = True
            try:
                return note(runs, *args)
            finally:
                quiet[0] = False

        def sqlite(address: URL, clock: Any) -> sa.Engine:
            return make(address, clock) if address.database is None else _shared_engine()

        self._patch.setattr(Database, "reading", read)
        self._patch.setattr(Database, "writing", write)
        self._patch.setattr(Runs, "note", hushed)
        self._patch.setattr(tasks.ledger.database, "_sqlite", sqlite)

    # ---- processes ----

    def start(self, run: FlowRun) -> Process:
        """A worker starts the process of a scheduled flow run."""
        run.state = "running"
        return self.host.start(run.id, run.deployment, lambda: self._work(run))

    def _work(self, run: FlowRun) -> State[Any] | None:
        runbook = RUNBOOKS.get(run.deployment.replace("-", "_"))
        try:
            if runbook is not None:
                end: State[Any] = respond(runbook, Request(run.parameters["site"], run.parameters.get("incident")))
            else:
                end = flows.incidents.restore.restore.fn(**run.parameters)
        except Pause:
            return None
        if run.state == "running":
            run.state = "ended"
        return end

    def watch(self) -> Process:
        """The intake's watch takes one look."""
        return self.host.start(f"watch-{len(self.host.processes)}", "watch", self._look)

    def _look(self) -> None:
        ledger = self._ledger()
        try:
            self._announcer(ledger).announce_all()
            Watch(ledger, RUNBOOKS, lambda: [self.site]).look()
        finally:
            ledger.close()

    def _announcer(self, ledger: Ledger) -> Announcer:
        def send(incidents: Sequence[Incident]) -> None:
            client: Any = self.prefect.client()
            with client:
                announce(client, incidents, self.clock.now())

        return Announcer(ledger, send)

    # ---- what happens outside ----

    def alert(self, name: str, status: str = "firing") -> None:
        """Alertmanager calls the intake's webhook."""
        at = self.clock.now()
        labels = {"alertname": name, "site": SITE}
        alert = Alert.model_validate({"status": status, "labels": labels, "startsAt": at, "endsAt": at})
        by_alert = {runbook.alert: runbook for runbook in RUNBOOKS.values()}
        handle(self.ledger, by_alert, [self.site.platform.address(SITE)], [alert], at)
        self._announcer(self.ledger).announce_all()

    def scheduled(self) -> list[FlowRun]:
        return [run for run in self.prefect.runs.values() if run.state == "scheduled"]

    def living(self) -> list[Process]:
        """The processes that run if they are let."""
        return [process for process in self.host.processes if process.runs]

    def is_paused(self) -> bool:
        """By any of the three switches, as whoever turned them sees it."""
        switched = self.prefect.variables.get("runbooks_paused", "") not in ("", "off")
        return switched or self.pause_file.exists() or bool(self.ledger.pauses.all())

    def resume(self) -> None:
        """All three switches are turned back."""
        for pause in self.ledger.pauses.all():
            self.ledger.pauses.resume(pause.site)
        self.pause_file.unlink(missing_ok=True)
        self.prefect.variables["runbooks_paused"] = "off"

    def failures(self) -> list[str]:
        """What went wrong in production code itself: duties of the watch, and exceptions that ended a process."""
        ended = [f.error for p in self.host.processes for f in (p.main, *p.helpers)]
        return self.trouble + [f"{type(error).__name__}: {error}" for error in ended if error]

    def approve(self) -> None:
        """A person says yes to everything that is asked."""
        for question in self.ledger.approvals.waiting():
            self.ledger.approvals.answer(question.key, True, "Ada")

    def go_on(self, rounds: int = 1, *, every: float = 60, approving: bool = False) -> None:
        """What an installation does by itself: the watch looks, workers start what is scheduled, runs run."""
        for _ in range(rounds):
            self.host.run_out(self.watch())
            if self.idle():
                return
            if approving:
                self.approve()
            for run in self.scheduled():
                self.start(run)
            self.host.run_all()
            self.host.let_pass(every)

    def idle(self) -> bool:
        """Nobody does anything any more, unless something happens outside or time passes."""
        runs = self.ledger.runs
        return not (self.living() or self.scheduled() or runs.silent(timedelta(0)) or runs.suspended())

    def quiet(self) -> bool:
        """And nothing is open or claimed either."""
        return self.idle() and not self.ledger.incidents.still_open() and not self.ledger.claims.holdings()

    # ---- the end ----

    def close(self) -> None:
        """Ends everything."""
        try:
            self.host.close()
        finally:
            self.ledger.close()
            self._patch.undo()
            _on_stage.remove(self)
            shutil.rmtree(self.folder)


class _Ear(logging.Handler):
    """Hears what production code logs as going wrong."""

    def __init__(self, theatre: Theatre) -> None:
        super().__init__(logging.ERROR)
        self._theatre = theatre

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "%s: %s":  # a duty of the watch that failed
            self._theatre.trouble.append(record.getMessage())
