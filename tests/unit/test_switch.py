"""The kill switch: three ways to stop all automation. One that cannot be read stops it too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.objects import Variable

from tasks import switch
from tasks.guards import check
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.ledger.pauses import Pauses
from tasks.model.refusal import Refusal, Refused
from tasks.settings import Settings
from tests.unit.ledgers import fresh_ledger
from tests.unit.test_guards import Scene
from tests.unit.wishes import PlainFacts


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    found = fresh_ledger()
    yield found
    found.close()


class Prefect:
    """The Prefect server as far as the switch knows it: one variable, or no answer."""

    def __init__(self) -> None:
        self.value: object = None
        self.away = False

    def __enter__(self) -> Prefect:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def read_variable_by_name(self, name: str) -> Variable | None:
        """The variable."""
        if self.away:
            raise httpx.ConnectError("connection refused")
        return None if self.value is None else Variable(id=uuid.uuid4(), name=name, value=self.value)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    found = Prefect()
    monkeypatch.setattr(switch, "get_client", lambda sync_client: found)
    return found


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefect: Prefect) -> Path:
    """The file of this worker, which is not there yet."""
    found = tmp_path / "PAUSED"
    monkeypatch.setattr(switch, "settings", lambda: Settings(pause_file=found))
    return found


def test_nothing_is_paused(ledger: Ledger) -> None:
    assert switch.paused(ledger, "prod") == ""


@pytest.mark.parametrize(("site", "here", "there"), [("", True, True), ("prod", True, False)])
def test_by_command(ledger: Ledger, site: str, here: bool, there: bool) -> None:
    ledger.pauses.pause(site, "deploy", "alice")
    assert [bool(switch.paused(ledger, name)) for name in ("prod", "staging")] == [here, there]
    assert not here or "by alice since 20" in switch.paused(ledger, "prod")
    assert not here or switch.paused(ledger, "prod").endswith("UTC: deploy")
    ledger.pauses.resume(site)
    assert switch.paused(ledger, "prod") == ""


@pytest.mark.parametrize(("text", "why"), [("disk swap\n", "disk swap"), ("", "no reason given"), (" \n", "no reason")])
def test_by_a_file(ledger: Ledger, file: Path, text: str, why: str) -> None:
    file.write_text(text)
    assert switch.paused(ledger, "prod").startswith(f"by the file PAUSED: {why}")
    file.unlink()
    assert switch.paused(ledger, "prod") == ""


def test_a_file_is_read_before_anything_else_is_asked(ledger: Ledger, file: Path, prefect: Prefect) -> None:
    """It works when nothing else does."""
    prefect.away = True
    ledger.close()
    file.write_text("disk swap")
    assert switch.paused(ledger, "prod") == "by the file PAUSED: disk swap"


def test_a_file_that_is_no_text_pauses_too(ledger: Ledger, file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    assert switch.paused(ledger, "prod").startswith("by the file PAUSED")


# the variable as people set it -> is everything paused
VALUES: list[tuple[object, bool]] = [
    (None, False),
    ("", False),
    (" ", False),
    ("false", False),
    ("False", False),
    ("no", False),
    ("off", False),
    ("0", False),
    (0, False),
    (False, False),
    ("null", False),
    ("true", True),
    ("True", True),
    (True, True),
    (1, True),
    ("yes", True),
    ("deploy until noon", True),
    ("flase", True),
    ({"paused": False}, True),
]


@pytest.mark.parametrize(("value", "paused"), VALUES)
def test_by_the_variable_in_the_ui(ledger: Ledger, prefect: Prefect, value: object, paused: bool) -> None:
    """What is not clearly off is on."""
    prefect.value = value
    assert bool(switch.paused(ledger, "prod")) is paused


# ---- what cannot be read stops everything --------------------------------------------------------------------------


class Asking(PlainFacts):
    """Facts of which the switch is the real one."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def paused(self) -> str:
        return switch.paused(self._ledger, "prod")


def refused(ledger: Ledger) -> str:
    with pytest.raises(Refused) as no:
        check(Scene(facts=Asking(ledger)).asked())
    assert no.value.refusal is Refusal.CANNOT_BE_JUDGED
    return no.value.detail


def test_a_prefect_server_that_does_not_answer(ledger: Ledger, prefect: Prefect) -> None:
    check(Scene(facts=Asking(ledger)).asked())
    prefect.away = True
    assert refused(ledger) == "paused: connection refused"


def test_a_ledger_that_does_not_answer(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Pauses, site: str) -> None:
        raise LedgerUnavailable("the ledger fails: disk I/O error")

    monkeypatch.setattr(Pauses, "active", gone)
    assert refused(ledger) == "paused: the ledger fails: disk I/O error"


def test_a_file_that_cannot_be_read(ledger: Ledger, file: Path) -> None:
    file.mkdir()
    assert "Is a directory" in refused(ledger)
