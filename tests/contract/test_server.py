"""The Prefect server on SQLite: its event loop goes on while garbage of the database is collected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def stands_still(folder: Path, how: str) -> float:
    """For how many seconds an event loop stood still."""
    program = [sys.executable, str(Path(__file__).with_name("collected_cursor.py")), str(folder / "some.db"), how]
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=True
    )
    return float(done.stdout)


def test_an_event_loop_stands_still_when_it_collects_a_cursor(tmp_path: Path) -> None:
    """What the server is kept from: as long as SQLite has patience, which is three seconds here."""
    assert stands_still(tmp_path, "anywhere") > 2


def test_it_goes_on_when_another_thread_collects(tmp_path: Path) -> None:
    assert stands_still(tmp_path, "apart") < 1


def test_it_takes_the_options_of_prefect() -> None:
    program = [sys.executable, "-m", "deployments.cli", "server", "--nonsense"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--nonsense" in done.stdout + done.stderr
