"""The server's empty database: made once, copied from then on, never in the place of one that is in use."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployments import database
from deployments.database import DatabaseError, provide


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was made instead of by Prefect's own command, with one table."""
    found: list[Path] = []

    def upgrade(command: list[str], *, env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[-4:] == ["server", "database", "upgrade", "--yes"]
        path = Path(env["PREFECT_API_DATABASE_CONNECTION_URL"].removeprefix("sqlite+aiosqlite:///"))
        found.append(path)
        with sqlite3.connect(path) as connection:
            connection.execute("create table flow_run (id)")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(subprocess, "run", upgrade)
    return found


def tables(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return [name for (name,) in connection.execute("select name from sqlite_master")]


def test_it_is_made_once(made: list[Path], tmp_path: Path) -> None:
    for name in ("first", "second"):
        provide(tmp_path / name / "prefect.db")
        assert tables(tmp_path / name / "prefect.db") == ["flow_run"]
    assert len(made) == 1


def test_one_that_is_there_is_left_as_it_is(made: list[Path], tmp_path: Path) -> None:
    used = tmp_path / "prefect.db"
    used.write_text("of a server")
    provide(used)
    assert used.read_text() == "of a server"
    assert made == []


def test_what_prefect_cannot_make_is_told_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nOperationalError: disk full\n")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(subprocess, "run", broken)
    with pytest.raises(DatabaseError, match="its tables could not be made: OperationalError: disk full"):
        database.kept()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
