"""Every safety rule is tested: taken out of the code, the tests that are named for it fail."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tasks.guards import GUARDS
from tasks.model.refusal import Refusal
from tests.safety.rules import RULES, Rule
from tests.unit.test_guards import BLIND, HOLDS, PASSES, REFUSES

UNIT = Path(__file__).parents[1] / "unit"
GUARD_TESTS = ("test_guards.py",)

# Refusals that are not a guard's: the first is a change's own, the second stands for any guard that fails.
NO_GUARDS = {Refusal.PRECONDITION, Refusal.CANNOT_BE_JUDGED}


class Results:
    """What became of each test, by the name that it has in the list of rules."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.passed: set[str] = set()
        self.still_there = ""  # why the rule could not be taken out

    def note(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed.add(name)
        elif report.when == "call":
            self.passed.add(name)


class Without:
    """A plugin that plays the tests of each rule while the rule is out. They are collected once for all rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.of = {rule.name: Results() for rule in rules}
        self._rules = rules
        self._now = Results()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called by pytest instead of its own loop."""
        for rule in self._rules:
            self._now = self.of[rule.name]
            with ExitStack() as out:
                try:
                    out.enter_context(rule.without())
                except AssertionError as error:
                    self._now.still_there = str(error)
                    continue
                items = [item for item in session.items if item.nodeid.rpartition("/")[2].startswith(rule.fails)]
                for item, following in pairwise([*items, None]):
                    session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of each test."""
        self._now.note(report)


# Plugins that cost time and are of no use here.
NOT_NEEDED = (
    *("anyio", "cacheprovider", "faulthandler", "hypothesispytest", "junitxml", "logging", "terminalreporter"),
    *("threadexception", "timeout", "unraisableexception"),
)


def play(plugin: object, *arguments: str) -> None:
    """Runs pytest in this process, where everything is imported already."""
    options = ["-c", "/dev/null", f"--rootdir={UNIT.parents[1]}", "--import-mode=importlib", "--capture=no"]
    options += ["--tb=native", *(part for name in NOT_NEEDED for part in ("-p", f"no:{name}"))]
    pytest.main([*options, *arguments], plugins=[plugin])


@pytest.fixture(scope="module")
def without(request: pytest.FixtureRequest) -> Without:
    """All rules that are tested now, each taken out in its turn."""
    wanted = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    plugin = Without([rule for rule in RULES if rule.name in wanted])
    play(plugin, *sorted({str(UNIT / test.partition("::")[0]) for rule in RULES for test in rule.fails}))
    return plugin


def about(refusal: Refusal) -> set[str]:
    """The tests of a guard, by the tables."""
    refuses = [f"test_refuses[{refusal}-{what}]" for what in REFUSES[refusal]]
    holds = [f"test_holds_for[{refusal}-{purpose}]" for purpose in HOLDS[refusal]]
    blind = [f"test_refuses_what_it_cannot_judge[{refusal}-{what}]" for what in BLIND.get(refusal, {})]
    return {f"test_guards.py::{test}" for test in [*refuses, *holds, *blind]}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_without_it_its_tests_fail(rule: Rule, without: Without) -> None:
    results = without.of[rule.name]
    assert not results.still_there
    if rule.fails == GUARD_TESTS:
        assert {failed for failed in results.failed if "[" in failed} == about(Refusal(rule.name))
        return
    for test in rule.fails:
        assert any(failed.startswith(test) for failed in results.failed), f"{test} does not miss it"


def test_a_rule_is_taken_out_by_hand() -> None:
    class Noting(Results):
        pytest_runtest_logreport = Results.note

    results = Noting()
    play(results, "--without", "paused", str(UNIT / "test_guards.py"))
    assert {failed for failed in results.failed if "[" in failed} == about(Refusal.PAUSED)


def test_every_guard_is_in_the_tables() -> None:
    guards = {guard.refusal for guard in GUARDS}
    assert set(REFUSES) == set(HOLDS) == guards == set(Refusal) - NO_GUARDS
    assert set(PASSES) | set(BLIND) <= guards


def test_every_guard_is_a_rule() -> None:
    assert {rule.name for rule in RULES if rule.fails == GUARD_TESTS} == {guard.refusal.value for guard in GUARDS}
