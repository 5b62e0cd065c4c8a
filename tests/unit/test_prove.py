"""`./dev prove`: it goes on where it was interrupted, and says what is proven and what is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.version import ROOT

TESTS = """
import pytest

@pytest.mark.proves("high_task_queue_depth", "healthy")
def test_healthy(): pass

@pytest.mark.proves("high_task_queue_depth", "incurable")
def test_incurable(): assert {right}

def test_something_else(): pass

def test_what_is_missing(): pytest.skip("nothing to test it with")
"""


class Proof:
    """A repository of its own, and the long matrix of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tests").mkdir()
        (folder / "lab").mkdir()
        (folder / "pytest.ini").write_text("[pytest]\nmarkers = proves(runbook, case): what it proves\n")
        self.write(right=False)

    def write(self, *, right: bool) -> None:
        (self.folder / "tests" / "test_all.py").write_text(TESTS.format(right=right))

    def run(self, *options: str) -> tuple[set[str], str]:
        """The tests that were run, and the table."""
        command = [sys.executable, "-m", "pytest", "-p", "tests.prove", "-v", *options]
        said = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        _, table = said.split("proof with code")
        return set(re.findall(r"::test_(\w+) (?:PASSED|FAILED|SKIPPED)", said)), table


@pytest.fixture
def proof(tmp_path: Path) -> Proof:
    return Proof(tmp_path)


ALL = {"healthy", "incurable", "something_else", "what_is_missing"}


def test_it_goes_on_where_it_was_and_ends_with_a_table(proof: Proof) -> None:
    ran, table = proof.run("-k", "healthy")
    assert ran == {"healthy"}
    assert re.search(r"^  high_task_queue_depth\n    healthy +passed", table, re.M)
    assert re.search(r"^    incurable +not run yet", table, re.M)

    ran, table = proof.run()
    assert ran == ALL - {"healthy"}, "what has passed is not run again"
    assert re.search(r"^    healthy +passed", table, re.M)
    assert re.search(r"^    incurable +failed", table, re.M)
    assert "everything else: 1 of 2 passed" in table
    assert re.search(r"test_what_is_missing: skipped", table), "to be skipped is not to be proven"

    assert proof.run()[0] == {"incurable", "what_is_missing"}, "what has not passed is run again"
    (proof.folder / "lab" / "other.py").write_text("")
    assert proof.run()[0] == ALL, "with other code nothing is proven"
