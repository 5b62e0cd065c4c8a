"""How many examples: said here and nowhere else.

`ci` is what every test run plays, the same examples each time; `prove` plays others each time, and fifty times as
many: `RUNBOOKS_PROPERTIES=prove pytest tests/properties`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

VARIABLE = "RUNBOOKS_PROPERTIES"


@dataclass(frozen=True)
class Profile:
    """How much is played."""

    name: str
    lives: int  # examples of the state machine
    steps: int  # rules in each, at most
    races: int  # examples of runs that want the same at the same time
    kills: int  # of the points of a story, those at which it is killed


PROFILES = {"ci": Profile("ci", 15, 30, 12, 6), "prove": Profile("prove", 800, 60, 1200, 1000)}


def profile() -> Profile:
    """The profile of this test run."""
    return PROFILES[os.environ.get(VARIABLE, "ci")]


def chosen(examples: int, steps: int = 50) -> settings:
    """The settings for so many examples, and for a state machine so many rules in each."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=profile().name == "ci",
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


def _told() -> str:
    found = profile()
    lives = f"{found.lives} lives of at most {found.steps} steps"
    return f"properties: profile {found.name}, {lives}, {found.races} races, {found.kills} kills in each story"


def pytest_report_header(config: pytest.Config) -> str:
    return _told()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is played is bounded by its number of examples; a busy machine only takes longer."""
    longest = 1200 if profile().name == "ci" else 6 * 3600
    for item in items:
        if "properties" in item.path.parts:
            item.add_marker(pytest.mark.timeout(longest))
