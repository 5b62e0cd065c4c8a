"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--without RULE`: to see which tests miss it."""
    parser.addoption("--without", metavar="RULE", help="take a safety rule of tests/safety/rules.py out first")


def pytest_configure(config: pytest.Config) -> None:
    """Takes the rule out until the tests are over."""
    name = config.getoption("--without")
    if name is None:
        return
    from tests.safety.rules import RULES  # only where it is wanted: it imports everything

    rule = next((rule for rule in RULES if rule.name == name), None)
    if rule is None:
        raise pytest.UsageError(f"there is no rule {name!r}: {', '.join(rule.name for rule in RULES)}")
    taken_out = ExitStack()
    taken_out.enter_context(rule.without())
    config.add_cleanup(taken_out.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """In CI a test that is skipped because something is missing has failed: nobody would see it otherwise."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("may_skip") is None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"not to be skipped in CI: {reason}"
    return report
