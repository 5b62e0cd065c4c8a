"""Every safety rule is tested: taken out of the code, the tests that are named for it fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.guards import GUARDS
from tasks.model.refusal import Refusal
from tests.unit.safety_rules import RULES, Rule
from tests.unit.test_guards import BLIND, HOLDS, PASSES, REFUSES

HERE = Path(__file__).parent
GUARD_TESTS = ("test_guards.py",)

# Refusals that are not a guard's: the first is a change's own, the second stands for any guard that fails.
NO_GUARDS = {Refusal.PRECONDITION, Refusal.CANNOT_BE_JUDGED}


class Results:
    """What became of each test, by the name that it has in the list of rules."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of each test."""
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed.add(name)
        elif report.when == "call":
            self.passed.add(name)


# Plugins that cost time and are of no use here.
NOT_NEEDED = (
    *("anyio", "cacheprovider", "faulthandler", "hypothesispytest", "junitxml", "logging", "terminalreporter"),
    *("threadexception", "timeout", "unraisableexception"),
)


def run(*tests: str, without: str) -> Results:
    """Runs tests in this process, where everything is imported already."""
    results = Results()
    options = ["-c", "/dev/null", f"--rootdir={HERE.parents[1]}", "--import-mode=importlib", "--capture=no"]
    options += ["--tb=native", *(part for plugin in NOT_NEEDED for part in ("-p", f"no:{plugin}"))]
    pytest.main([*options, "--without", without, *(str(HERE / test) for test in tests)], plugins=[results])
    return results


def about(refusal: Refusal) -> set[str]:
    """The tests of a guard, by the tables."""
    refuses = [f"test_refuses[{refusal}-{what}]" for what in REFUSES[refusal]]
    holds = [f"test_holds_for[{refusal}-{purpose}]" for purpose in HOLDS[refusal]]
    blind = [f"test_refuses_what_it_cannot_judge[{refusal}-{what}]" for what in BLIND.get(refusal, {})]
    return {f"test_guards.py::{test}" for test in [*refuses, *holds, *blind]}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_without_it_its_tests_fail(rule: Rule) -> None:
    results = run(*rule.fails, without=rule.name)
    if rule.fails == GUARD_TESTS:
        assert {failed for failed in results.failed if "[" in failed} == about(Refusal(rule.name))
        return
    for test in rule.fails:
        assert any(failed.startswith(test) for failed in results.failed), f"{test} does not miss it"


def test_every_guard_is_in_the_tables() -> None:
    guards = {guard.refusal for guard in GUARDS}
    assert set(REFUSES) == set(HOLDS) == guards == set(Refusal) - NO_GUARDS
    assert set(PASSES) | set(BLIND) <= guards


def test_every_guard_is_a_rule() -> None:
    assert {rule.name for rule in RULES if rule.fails == GUARD_TESTS} == {guard.refusal.value for guard in GUARDS}
