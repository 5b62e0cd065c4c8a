"""Whatever is wrong with what a command is told, or with what it needs: one sentence and a code, never a traceback."""

from __future__ import annotations

import json
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES

from deployments.cli import main
from deployments.cli.sites import _unknown
from flows.message_bus.platform import MessageBus
from tasks.ledger import Ledger
from tasks.settings import settings
from tasks.sites import SiteBroken, load_site
from tests.unit.ledgers import ledger_file

REFUSED = "http://127.0.0.1:1/api"
SITES = "/api/block_types/slug/message-bus/block_documents"
VARIABLE = "/api/variables/name/runbooks_ledger"


class Server:
    """Something that answers over HTTP: the same to all, but for some paths."""

    def __init__(self) -> None:
        self.status, self.body = 404, "{}"
        self.answers: dict[str, object] = {}
        self.url = ""


@pytest.fixture(scope="module")
def listening() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            status, body = server.status, server.body
            if path in server.answers:
                status, body = 200, json.dumps(server.answers[path])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = answer

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}/api"
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def server(listening: Server) -> Server:
    """A Prefect server on which nothing is saved and nothing deployed."""
    listening.status, listening.body = 404, "{}"
    listening.answers = {"/api/health": True, "/api/admin/version": "3.8.8", SITES: []}
    return listening


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("RUNBOOKS_LEDGER", ledger_file(tmp_path / "ledger.db"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@cache
def at(url: str) -> SettingsContext:
    """Prefect's settings for a server, made once: that takes longer than most commands."""
    context = get_settings_context()
    settings = context.settings.copy_with_update({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0})
    return SettingsContext(profile=context.profile, settings=settings)


class Shell:
    """The command line, at a Prefect server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def run(self, url: str, *words: str) -> tuple[object, str, str]:
        """The code and what was printed."""
        self._monkeypatch.setattr(sys, "argv", ["runbooks", *words])
        with at(url), pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    def fails(self, url: str, *words: str) -> str:
        """The one sentence."""
        code, out, error = self.run(url, *words)
        assert code == 2
        assert out == ""
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


NEED_A_SERVER = [
    ("plan", "high_task_queue_depth", "--site", "prod"),
    ("run", "high_task_queue_depth", "--site", "prod"),
    ("restore",),
    ("rules", "prod"),
    ("sites",),
    ("sites", "apply", "sites.yaml"),
    ("ledger", "adopt"),
]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("none", "no Prefect server is named: set PREFECT_API_URL"),
        ("no answer", "does not answer: [Errno 111] Connection refused"),
        ("no address", "does not answer: "),
        ("401", "does not let this command in (401): set PREFECT_API_AUTH_STRING"),
        ("500", "answered 500: look into its log"),
        ("a page", "is not Prefect's API: does the URL end in /api?"),
    ],
)
def test_what_is_wrong_with_the_server(server: Server, shell: Shell, trouble: str, told: str) -> None:
    del server.answers["/api/admin/version"], server.answers[SITES]
    if trouble.isdigit():
        server.status = int(trouble)
    if trouble == "a page":
        server.status, server.body = 200, "<html>"
    url = {"none": "", "no answer": REFUSED, "no address": "nonsense"}.get(trouble, server.url)
    assert told in shell.fails(url, "sites")


@pytest.mark.parametrize("words", NEED_A_SERVER, ids=" ".join)
def test_what_needs_a_server_starts_none_of_its_own(shell: Shell, words: list[str]) -> None:
    assert "no Prefect server is named" in shell.fails("", *words)


@pytest.mark.parametrize("words", NEED_A_SERVER, ids=" ".join)
def test_a_server_that_breaks_down_in_between(server: Server, shell: Shell, words: list[str]) -> None:
    del server.answers[SITES]
    server.status = 500
    if "apply" in words:
        assert "cannot read sites.yaml" in shell.fails(server.url, *words)
    else:
        assert "answered 500" in shell.fails(server.url, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "nope", "--site", "prod"), "there is no runbook 'nope'"),
        (("plan", "high_task_queue_depth", "--site", "prod"), "there is no site 'prod' of the platform 'message-bus'"),
        (("run", "high_task_queue_depth", "--site", "prod"), "there is no site 'prod'"),
        (("rules", "prod"), "there is no site 'prod'"),
        (("rules", ""), "name a site"),
        (("pause", "--site", "prod"), "there is no site 'prod'"),
        (("changes", "--site", "prod"), "there is no site 'prod'"),
        (("restore", "--site", "prod"), "there is no site 'prod'"),
        (("restore",), "check PREFECT_API_URL"),  # it is not deployed
        (("status", "ffff"), "the ledger has no run 'ffff'"),
        (("take", "ffff"), "there is no incident 'ffff'"),
        (("approve", "ffff"), "nobody asks for plan 'ffff'"),
        (("ledger", "restore", "/nowhere"), "/nowhere: No such file"),
        (("ledger", "backup", "/nowhere/at/all"), "No such file"),
        (("lab", "heal"), "the ground is not up"),
        (("sites", "apply", "/nowhere"), "cannot read /nowhere"),
    ],
)
def test_what_is_not_there(server: Server, shell: Shell, words: tuple[str, ...], told: str) -> None:
    assert told in shell.fails(server.url, *words)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LEDGER", "nonsense", "the ledger must be a sqlite:/// or postgresql:// URL"),
        ("LEDGER", "", "the ledger must be a sqlite:/// or postgresql:// URL"),
        ("LEDGER", "mysql://root:hunter2@db/x", "not mysql://"),
        (
            "LEDGER",
            "postgresql://root:hunter2@127.0.0.1:port/x",
            "the ledger must be a sqlite:/// or postgresql:// URL",
        ),
        ("LEDGER", "sqlite:////proc/nowhere/ledger.db", "cannot make the ledger's folder"),
        ("LEDGER", f"sqlite:///{__file__}", "file is not a database"),
        ("LAST_RESORT", "hunter2", "what the environment sets (RUNBOOKS_...) does not fit"),
        (
            "LAST_RESORT",
            '[{"kind": "pagerduty", "address": "hunter2"}]',
            "does not fit: last_resort.0: Value error, PagerDuty calls somebody",
        ),
        ("UNCLAIMED_SECONDS", "-1", "does not fit: unclaimed_seconds: Input should be greater than 0"),
    ],
)
def test_an_environment_that_does_not_fit(
    server: Server, shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"RUNBOOKS_{name}", value)
    settings.cache_clear()
    error = shell.fails(server.url, "status")
    assert told in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: [", "is not YAML"),
        (b"- prod", "must map names of sites to their settings"),
        (b"Prod EU: {platform: message-bus, namespace: bus}", "'Prod EU' cannot be a site's name"),
        (b"'': {platform: message-bus, namespace: bus}", "'' cannot be a site's name"),
        (b"prod: {}", "site 'prod' must name its platform: one of message-bus"),
        (b"prod: {platform: [message-bus]}", "must name its platform"),
        (b"prod: {platform: message-bus}", "site 'prod': namespace: Field required"),
        (b"prod: {platform: message-bus, namespace: ''}", "site 'prod': namespace: String should have at least 1"),
        (
            b"prod: {platform: message-bus, namespace: bus, orchestration_labels: {}}",
            "orchestration_labels: Dictionary should have at least 1 item",
        ),
        (
            b"prod: {platform: message-bus, namespace: bus, trust_by_runbook: {high-task-queue-depth: observe}}",
            "trusts runbooks that there are not: high-task-queue-depth",
        ),
        (b"prod: {platform: message-bus, namespace: bus, trust: blind}", "site 'prod': trust: Input should be"),
        (b"prod: {platform: message-bus, namespace: bus, trusted: act}", "does not know: trusted"),
        (b"prod: {platform: message-bus, namespace: bus, 5: 6}", "does not know: 5"),
        (b"prod: {platform: message-bus, namespace: bus, limits: {sick: 1}}", "does not know: limits.sick"),
        (
            b"prod: {platform: message-bus, namespace: bus, contacts: [{kind: slack, adress: x}]}",
            "does not know: contacts.adress",
        ),
        (
            b"prod: {platform: message-bus, namespace: bus, contacts: [{kind: pagerduty, address: hunter2}]}",
            "contacts.0: Value error, PagerDuty calls somebody",
        ),
    ],
)
def test_a_file_of_sites_that_does_not_fit(
    server: Server, shell: Shell, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "sites.yaml"
    file.write_bytes(content)
    error = shell.fails(server.url, "sites", "apply", str(file))
    assert told in error
    assert "hunter2" not in error


def saved(name: str, **settings: object) -> dict[str, Any]:
    """A site as Prefect has it."""
    ids = {f"block_{what}_id": str(uuid.uuid4()) for what in ("type", "schema")}
    block_type = {"id": ids["block_type_id"], "name": "Message Bus", "slug": "message-bus"}
    schema = {"id": ids["block_schema_id"], "checksum": "sha256:1", "block_type_id": ids["block_type_id"]}
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "data": settings,
        "block_type": block_type,
        "block_schema": schema,
    } | ids


@pytest.fixture
def two_sites(server: Server) -> Server:
    """One that fits, and one that somebody saved in the UI, which does not check what PagerDuty needs."""
    wrong = {"kind": "pagerduty", "level": 0, "address": "hunter2"}
    sites = saved("prod", namespace="bus", context="c"), saved("old", namespace="bus", contacts=[wrong])
    server.answers[SITES] = sites
    server.answers.update({f"{SITES}/name/{site['name']}": site for site in sites})
    return server


WRONG = "the site 'old' does not fit message-bus: contacts.0: Value error, PagerDuty calls somebody for all it is told"


def test_a_site_that_does_not_fit_keeps_no_other_from_being_used(two_sites: Server, shell: Shell) -> None:
    code, out, error = shell.run(two_sites.url, "sites", "--json")
    assert (code, [site["name"] for site in json.loads(out)]) == (1, ["prod"])
    assert error.startswith(WRONG)
    assert "hunter2" not in error
    code, out, error = shell.run(two_sites.url, "rules", "prod", "--json")
    assert (code, error) == (0, "")
    assert json.loads(out)["groups"][0]["rules"][0]["alert"] == "HighTaskQueueDepth"


@pytest.mark.parametrize(
    "words", [("rules",), ("plan", "high_task_queue_depth", "--site"), ("run", "high_task_queue_depth", "--site")]
)
def test_a_site_that_does_not_fit_is_told(two_sites: Server, shell: Shell, words: tuple[str, ...]) -> None:
    error = shell.fails(two_sites.url, *words, "old")
    assert WRONG in error
    assert "hunter2" not in error


def test_nothing_that_is_set_stands_in_the_error(two_sites: Server) -> None:
    """Prefect shows the whole chain of errors in the log of a run."""
    with at(two_sites.url), pytest.raises(SiteBroken) as error:
        load_site(MessageBus, "old")
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


def test_a_site_that_does_not_fit_can_be_paused(two_sites: Server, shell: Shell) -> None:
    assert shell.run(two_sites.url, "pause", "--site", "old")[0] == 0


def test_every_setting_of_a_site_is_known() -> None:
    site = MessageBus(namespace="bus", alert_labels={"a": "b"})
    assert list(_unknown(MessageBus, site.model_dump(include=set(MessageBus.model_fields)))) == []


# ---- steering ------------------------------------------------------------------------------------------------------


def test_automation_can_be_paused_without_a_server_and_the_person_is_told_what_is_not_known(shell: Shell) -> None:
    code, out, error = shell.run(REFUSED, "pause", "--site", "prod", "--reason", "it burns")
    assert (code, out) == (0, "paused: prod. Go on with `runbooks resume`.\n")
    assert "Connection refused" in error
    assert "is the ledger of the installation is not known" in error
    ledger = Ledger(settings().ledger)
    assert [(pause.site, pause.reason) for pause in ledger.pauses.all()] == [("prod", "it burns")]
    ledger.close()


@pytest.mark.parametrize(
    "words", [("pause",), ("resume",), ("changes",), ("status",), ("take", "x"), ("approve",)], ids=" ".join
)
def test_nobody_steers_by_another_ledger(server: Server, shell: Shell, words: tuple[str, ...]) -> None:
    server.answers[VARIABLE] = {"name": "runbooks_ledger", "value": "another one"}
    assert "is not the ledger that this installation uses" in shell.fails(server.url, *words)
    ledger = Ledger(settings().ledger)
    assert ledger.pauses.all() == []
    ledger.close()


def test_no_intake_writes_into_another_ledger(server: Server, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "RUNBOOKS_INTAKE_TOKEN is not set" in shell.fails(server.url, "intake")
    monkeypatch.setenv("RUNBOOKS_INTAKE_TOKEN", "secret")
    settings.cache_clear()
    server.answers[VARIABLE] = {"name": "runbooks_ledger", "value": "another one"}
    assert "is not the ledger that this installation uses" in shell.fails(server.url, "intake")


def test_who_only_looks_does_not_make_a_ledger_the_installation_s(server: Server, shell: Shell) -> None:
    """The first one that a worker uses becomes it; nothing is posted here, where nothing would be taken."""
    assert shell.run(server.url, "status", "--json")[0] == 0


def test_a_pause_is_seen_in_the_status(server: Server, shell: Shell) -> None:
    shell.run(server.url, "pause", "--reason", "it burns", "--by", "ada")
    assert shell.run(server.url, "status")[1].startswith("PAUSED: everywhere, by ada: it burns")
    assert json.loads(shell.run(server.url, "status", "--json")[1])["paused"][0]["by"] == "ada"
