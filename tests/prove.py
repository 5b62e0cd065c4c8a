"""`./dev prove`: the long matrix. It goes on where it was interrupted, and ends with a table.

A pytest plugin (`-p tests.prove`). Results are kept per test and code, that of the tests and of the practice ground
included; what has passed with this code is not run again unless `--again` is given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(".prove/results.json")
SOURCES = ("flows", "tasks", "deployments", "lab", "tests")


def code() -> str:
    """What is proven: a hash of all sources."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in Path(folder).rglob("*.py")):
        digest.update(path.as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--again", action="store_true", help="run also what has passed with this code")


class _Results:
    """What came of each test with this version of the code."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.code = code()
        self._all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    @property
    def ours(self) -> dict[str, Any]:
        found: dict[str, Any] = self._all.setdefault(self.code, {})
        return found

    def passed(self, test: str) -> bool:
        return bool(self.ours.get(test, {}).get("outcome") == "passed")

    def keep(self, test: str, **result: Any) -> None:
        """Written at once: the next interruption may come at any moment."""
        self.ours[test] = result
        self._path.parent.mkdir(exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._all, indent=1))
        draft.replace(self._path)


_results = _Results(RESULTS)
_cases: dict[str, tuple[str, str]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("proves")
        _cases[item.nodeid] = (marker.args[0], marker.args[1]) if marker else ("", item.name)
    if config.getoption("--again"):
        return
    done = [item for item in items if _results.passed(item.nodeid)]
    items[:] = [item for item in items if item not in done]
    config.hook.pytest_deselected(items=done)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" or report.failed or report.skipped:  # type: ignore[attr-defined]
        known = _results.ours.get(item.nodeid, {})
        if report.when == "teardown" and known.get("outcome") == "failed":  # type: ignore[attr-defined]
            return report
        seconds = round(report.duration, 1)  # type: ignore[attr-defined]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _results.keep(item.nodeid, outcome=report.outcome, seconds=seconds, at=now)  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Runbooks down, cases across."""
    write = terminalreporter.write_line
    write("")
    write(f"proof with code {_results.code} (kept in {RESULTS})")
    runbooks = sorted({runbook for runbook, _ in _cases.values() if runbook})
    for runbook in runbooks:
        write(f"  {runbook}")
        for test, (of, case) in _cases.items():
            if of == runbook:
                write(f"    {case:<24} {_told(test)}")
    others = [(test, case) for test, (of, case) in _cases.items() if not of]
    passed = [test for test, _ in others if _results.passed(test)]
    write(f"  everything else: {len(passed)} of {len(others)} passed")
    for test, _ in others:
        if not _results.passed(test):
            write(f"    {test}: {_told(test)}")


def _told(test: str) -> str:
    result = _results.ours.get(test)
    return f"{result['outcome']:<8} {result['seconds']:>7.1f} s  {result['at']}" if result else "not run yet"
