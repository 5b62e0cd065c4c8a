"""Fail points do nothing where nobody planned anything, and what is planned happens once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tasks import failpoint


def test_nothing_happens_where_nothing_is_planned() -> None:
    done = reaching(None, "applied", "applied")
    assert (done.returncode, done.stdout.split()) == (0, ["applied", "applied"])


def reaching(plan: Path | None, *points: str) -> subprocess.CompletedProcess[str]:
    """A process that reaches these points. The environment names a plan, or none, whatever this process's own does."""
    calls = "\n".join(f"failpoint.reach({point!r}); print({point!r}, flush=True)" for point in points)
    environment = {name: value for name, value in os.environ.items() if name != failpoint.VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", f"from tasks import failpoint\n{calls}"],
        env=environment | ({failpoint.VARIABLE: str(plan)} if plan else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_process_is_killed_at_its_point_and_the_next_one_is_not(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text(json.dumps({"point": "applied", "nth": 2, "act": "kill"}))
    first = reaching(plan, "intended", "applied", "applied", "settled")
    assert (first.returncode, first.stdout.split()) == (-signal.SIGKILL, ["intended", "applied"])
    assert plan.with_suffix(".hit").exists()
    second = reaching(plan, "applied", "applied")
    assert (second.returncode, second.stdout.split()) == (0, ["applied", "applied"])


def test_a_call_fails_at_its_point(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.write_text(json.dumps({"point": "before tell", "act": "fail"}))
    assert "FailPoint: before tell" in reaching(plan, "before tell").stderr
