"""What the doctor makes of what it sees of the installation: each kind of finding appears, and is absent."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import prefect
import pytest
from prefect.events.schemas.automations import Automation
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deployments.automations import Fate, Told
from deployments.doctor import clocks, deployed, intake, ledger, packages, pools, server, sites, triggers
from deployments.doctor.finding import Finding, Health
from deployments.doctor.looks import Look, take
from deployments.manifest import manifest
from tasks.ledger.schema import VERSION
from tasks.sites import Saved, Site
from tests.unit.message_bus import bus

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
URL = "http://prefect:4200/api"


def kinds(findings: Iterable[Finding]) -> set[str]:
    """The kinds that were found, apart from what is fine."""
    return {finding.kind for finding in findings if finding.severity is not Health.FINE}


# ---- the Prefect server --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (server.Server(""), {"prefect-not-named"}),
        (server.Server(URL, trouble="connection refused"), {"prefect-unreachable"}),
        (server.Server(URL, trouble="it answers 401", kind=server.REFUSES), {"prefect-refuses"}),
        (server.Server(URL, "3.9.0"), {"prefect-versions-differ"}),
        (server.Server(URL, "3.8.8"), set()),
    ],
)
def test_the_server(seen: server.Server, expected: set[str]) -> None:
    assert kinds(server.judge(seen, client="3.8.8")) == expected


# ---- the ledger ----------------------------------------------------------------------------------------------------

LEDGER = ledger.Seen("ledger.db", VERSION)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (replace(LEDGER, trouble="connection refused"), {"ledger-unusable"}),
        (replace(LEDGER, version=""), {"ledger-missing"}),
        (replace(LEDGER, version="0000"), {"ledger-older"}),
        (replace(LEDGER, version="9999"), {"ledger-unusable"}),
        (replace(LEDGER, version="odd"), {"ledger-unusable"}),
        (LEDGER, set()),
    ],
)
def test_the_ledger(seen: ledger.Seen, expected: set[str]) -> None:
    assert kinds(ledger.judge(seen)) == expected


@pytest.mark.parametrize(
    ("own", "installed", "expected"),
    [("a", "b", {"ledger-not-the-installations"}), ("a", "a", set()), ("a", "", set())],
)
def test_the_ledger_of_the_installation(own: str, installed: str, expected: set[str]) -> None:
    assert kinds(ledger.judge_identities(own, installed)) == expected


def test_looking_at_a_ledger_makes_none(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "ledger.db"
    assert kinds(ledger.judge(ledger.read(f"sqlite:///{file}"))) == {"ledger-missing"}
    assert not file.parent.exists()


def test_looking_at_a_strange_file_leaves_it_as_it_is(tmp_path: Path) -> None:
    """Another program's database, to which RUNBOOKS_LEDGER leads by mistake."""
    file = tmp_path / "others.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    before = file.read_bytes()
    assert kinds(ledger.judge(ledger.read(f"sqlite:///{file}"))) == {"ledger-missing"}
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (before, [file])


def test_what_is_told_of_the_ledger_already_breaks_no_other_look(tmp_path: Path) -> None:
    def look() -> Iterable[Finding]:
        with ledger.opened(f"sqlite:///{tmp_path / 'ledger.db'}"):
            return []

    assert take([Look("kill switch", look)]) == []


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/health": (200, "true"), "/admin/version": (401, "{}")}, {"prefect-refuses"}),
        ({"/health": (200, "<html>"), "/admin/version": (200, "<html>")}, {"prefect-api-elsewhere"}),
        ({"/health": (500, "{}")}, {"prefect-unreachable"}),
        ({"/health": (200, "true"), "/admin/version": (200, f'"{prefect.__version__}"')}, set()),
    ],
)
def test_what_a_server_answers(answers: dict[str, tuple[int, str]], expected: set[str]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.removeprefix("/api"), (404, "{}"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{found.server_port}/api"
        with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            assert kinds(server.judge(server.read())) == expected
        found.shutdown()


# ---- Python and packages -------------------------------------------------------------------------------------------

FASTAPI = packages.Package("fastapi", "<0.150,>=0.139", "0.149.0")
SQLALCHEMY = packages.Package("SQLAlchemy", "<2.1,>=2.0.45", "2.0.50")
HERE = packages.Environment("3.12.1", "<3.14,>=3.11", (FASTAPI, SQLALCHEMY))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (replace(HERE, python="3.10.4"), {"python-unsupported"}),
        (replace(HERE, python="3.14.0"), {"python-unsupported"}),
        (replace(HERE, packages=(replace(FASTAPI, version="0.155.0"), SQLALCHEMY)), {"package-unsupported"}),
        (replace(HERE, packages=(FASTAPI, replace(SQLALCHEMY, version="2.1.0b1"))), {"package-unsupported"}),
        (replace(HERE, packages=(replace(FASTAPI, version=None),)), {"package-unsupported"}),
        (HERE, set()),
    ],
)
def test_python_and_packages(seen: packages.Environment, expected: set[str]) -> None:
    assert kinds(packages.judge(seen)) == expected


def test_the_pins_that_matter_are_among_what_is_looked_at() -> None:
    found = packages.read()
    names = {package.name.lower() for package in found.packages}
    assert {"prefect", "fastapi", "sqlalchemy", "kubernetes"} <= names
    assert "pytest" not in names  # an extra
    assert kinds(packages.judge(found)) == set()


# ---- deployments ---------------------------------------------------------------------------------------------------

LISTED = deployed.Listed("health-check", "health-check", "flows/a.py:a", "hash-1", scheduled=True, pool="runbooks")
DEPLOYED = deployed.Deployed(
    "id-1",
    "hash-1",
    "flows/a.py:a",
    "runbooks",
    paused=False,
    schedules={"schedule-1": True},
    made_at=NOW - timedelta(days=1),
    waits_since=NOW,
)
BY_EVENT = replace(LISTED, scheduled=False)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, {"deployment-missing"}),
        (replace(DEPLOYED, version="hash-0"), {"deployment-outdated"}),
        (replace(DEPLOYED, entrypoint="flows/b.py:b"), {"deployment-outdated"}),
        (replace(DEPLOYED, paused=True), {"deployment-paused"}),
        (replace(DEPLOYED, schedules={"schedule-1": False}), {"schedule-paused"}),
        (replace(DEPLOYED, schedules={}), {"schedule-missing"}),
        (replace(DEPLOYED, pool=""), {"deployment-in-another-pool"}),  # its pool was deleted, and made again
        (replace(DEPLOYED, pool="others"), {"deployment-in-another-pool"}),
        (replace(DEPLOYED, waits_since=None), {"schedule-not-kept"}),
        (replace(DEPLOYED, waits_since=None, made_at=NOW), set()),  # the scheduler has had no time yet
        (replace(DEPLOYED, waits_since=NOW - timedelta(minutes=6)), {"runs-late"}),
        (replace(DEPLOYED, waits_since=NOW - timedelta(minutes=1)), set()),
        (DEPLOYED, set()),
    ],
)
def test_a_deployment_with_a_schedule(found: deployed.Deployed | None, expected: set[str]) -> None:
    assert kinds(deployed.judge(LISTED, found, NOW)) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (replace(DEPLOYED, schedules={}, waits_since=None), set()),
        (replace(DEPLOYED, waits_since=NOW - timedelta(hours=1)), {"runs-late"}),
    ],
)
def test_a_deployment_that_is_started_by_events(found: deployed.Deployed, expected: set[str]) -> None:
    assert kinds(deployed.judge(BY_EVENT, found, NOW)) == expected


def test_every_deployment_of_the_manifest_is_listed() -> None:
    found = [deployed.listed(entry) for entry in manifest()["deployments"]]
    assert {one.name for one in found if one.scheduled} == {"health-check", "restore"}
    assert all(one.version and one.pool == "runbooks" for one in found)


# ---- triggers ------------------------------------------------------------------------------------------------------


ENTRY = next(entry for entry in manifest()["deployments"] if entry.get("triggers"))
WANTED = triggers.automations(ENTRY, uuid4())[0]
AS_IT_SHOULD = Automation(id=uuid4(), **WANTED.model_dump())
OFF = AS_IT_SHOULD.model_copy(update={"enabled": False})
OTHER = AS_IT_SHOULD.model_copy(update={"actions": []})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), {"trigger-missing"}),
        ((OFF,), {"trigger-disabled"}),
        ((OTHER,), {"trigger-differs"}),
        ((OTHER, AS_IT_SHOULD), set()),
        ((AS_IT_SHOULD,), set()),
    ],
)
def test_a_trigger(found: tuple[Automation, ...], expected: set[str]) -> None:
    assert kinds(triggers.judge(triggers.Trigger("high-task-queue-depth", WANTED, found))) == expected


DEAD_RUN = Told("runbooks: dead run", Fate.UNCHANGED, enabled=True, what="")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (replace(DEAD_RUN, fate=Fate.MISSING, enabled=False), {"automation-missing"}),
        (replace(DEAD_RUN, enabled=False), {"automation-disabled"}),
        (replace(DEAD_RUN, fate=Fate.DIFFERENT), {"automation-differs"}),
        (DEAD_RUN, set()),
    ],
)
def test_an_automation_beside_the_triggers(told: Told, expected: set[str]) -> None:
    assert kinds(triggers.judge_other(told)) == expected


# ---- work pools ----------------------------------------------------------------------------------------------------

POOL = pools.Pool("process", workers={"worker-1": "OFFLINE", "worker-2": "ONLINE"})


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (None, {"pool-missing"}),
        (replace(POOL, type="docker"), {"pool-of-another-type"}),
        (replace(POOL, paused=True), {"pool-paused"}),
        (replace(POOL, paused_queues=("default",)), {"queue-paused"}),
        (replace(POOL, limit=0), {"pool-limited-to-nothing"}),
        (replace(POOL, workers={"worker-1": "OFFLINE"}), {"no-worker"}),
        (replace(POOL, workers={}), {"no-worker"}),
        (replace(POOL, limit=3), set()),
        (POOL, set()),
    ],
)
def test_a_work_pool(pool: pools.Pool | None, expected: set[str]) -> None:
    assert kinds(pools.judge("runbooks", pool)) == expected


# ---- intake --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (intake.Answer(0, "connection refused"), {"intake-unreachable"}),
        (intake.Answer(503, "the ledger fails"), {"intake-unwell"}),
        (intake.Answer(200, '{"status":"ok"}'), set()),
    ],
)
def test_the_intake(answer: intake.Answer, expected: set[str]) -> None:
    assert kinds(intake.judge("http://intake:9087", answer)) == expected


# ---- clocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "give", "expected"),
    [
        (5.6, 0.5, {"clocks-apart"}),
        (-5.6, 0.5, {"clocks-apart"}),
        (5.4, 0.5, set()),
        (-5.4, 0.5, set()),
        (0, 0, set()),
    ],
)
def test_a_clock(ahead: float, give: float, expected: set[str]) -> None:
    offset = clocks.Offset(timedelta(seconds=ahead), timedelta(seconds=give))
    assert kinds(clocks.judge("the ledger", offset)) == expected


def test_a_date_header_says_the_second_that_has_begun() -> None:
    said = clocks.date({"date": "Thu, 01 Jan 2026 12:00:00 GMT"})
    assert said == NOW
    offset = clocks.compare(lambda: datetime.now(UTC).replace(microsecond=0), timedelta(seconds=1))
    assert abs(offset.ahead) <= offset.give
    assert offset.tolerable


# ---- sites ---------------------------------------------------------------------------------------------------------

BROKEN = "the site 'old' does not fit message-bus: metrics_port: not a number"


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (Saved(()), {"no-sites"}),
        (Saved((), {"old": BROKEN}), {"site-unreadable"}),
        (Saved((Site("prod", bus()),)), set()),
    ],
)
def test_the_saved_sites(saved: Saved, expected: set[str]) -> None:
    assert kinds(sites.judge(saved)) == expected


def test_a_site_that_cannot_be_used_is_known_by_its_name() -> None:
    saved = Saved((Site("prod", bus()),), {"old": BROKEN})
    assert [sites.knows(saved, name) for name in ("prod", "old", "ol", "none")] == [True, True, False, False]
