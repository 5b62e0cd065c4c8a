"""`runbooks ledger`: what it prints, and how it ends."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deployments.cli import ledger as command
from deployments.cli.output import UserError
from tasks.ledger import Ledger
from tasks.model.outcome import Outcome
from tasks.settings import Settings
from tests.contract.ledger.places import run


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ledger of this installation."""
    settings = Settings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setattr(command, "settings", lambda: settings)
    return settings.ledger


def call(*words: str) -> int:
    code: int = command.app(words, exit_on_error=False, print_error=False, result_action="return_value")
    return code


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_info_tells_where_the_ledger_is_and_what_is_in_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Ledger(url)) as ledger:
        ledger.runs.begin(run())
        identity = ledger.identity
    assert call("info", "--json") == 0
    told = printed(capsys)
    assert (told["identity"], told["where"]) == (identity, url.removeprefix("sqlite:///"))
    assert told["rows"]["run"] == 1
    assert call("info") == 0
    assert identity in capsys.readouterr().out


def test_a_backup_is_restored(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "backup.gz"
    with closing(Ledger(url)) as ledger:
        ledger.runs.begin(run())
        assert call("backup", str(file)) == 0
        assert f"1 rows were written to {file}" in capsys.readouterr().out
        ledger.runs.begin(run("run-2"))
        with pytest.raises(UserError, match="is not empty"):
            call("restore", str(file))
        assert call("restore", str(file), "--force", "--json") == 0
        assert printed(capsys)["rows"]["run"] == 1
        assert [found.id for found in ledger.runs.latest()] == ["run-1"]


def test_what_is_no_backup_is_told(url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.gz"
    file.write_text("hello")
    with pytest.raises(UserError, match="no backup"):
        call("restore", str(file))


def test_history_is_pruned(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Ledger(url)) as ledger:
        ledger.runs.begin(run())
        ledger.runs.end("run-1", Outcome.RECOVERED, "", {})
    assert call("prune", "--older-than", "90d") == 0
    assert "Nothing is that old" in capsys.readouterr().out
    assert call("prune", "--older-than", "0s", "--json") == 0
    assert printed(capsys) == {"run": 1}
    with pytest.raises(UserError, match="negative"):
        call("prune", "--older-than=-1d")
