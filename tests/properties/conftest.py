"""How many examples: said here and nowhere else.

`ci` is what every test run plays, the same examples each time; `prove` plays others each time, and fifty times as
many or more: `RUNBOOKS_PROPERTIES=prove pytest tests/properties`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, settings

VARIABLE = "RUNBOOKS_PROPERTIES"


@dataclass(frozen=True)
class Profile:
    """How much is played. What is drawn is played in parts, each a test of its own: a long run that was interrupted
    goes on after the last part that has passed."""

    name: str
    parts: int
    lives: int  # examples of the state machine in each part
    steps: int  # rules in each, at most
    races: int  # in each part, examples of runs that want the same at the same time
    kills: int  # of the points of a story, those at which it is killed


PROFILES = {"ci": Profile("ci", 1, 15, 30, 12, 6), "prove": Profile("prove", 40, 20, 60, 30, 1000)}


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


def in_parts(test: Callable[..., None]) -> Callable[..., None]:
    """Once for each part of the profile; every part draws examples of its own."""
    return cast("Callable[..., None]", pytest.mark.parametrize("part", range(profile().parts))(test))


def _told() -> str:
    found = profile()
    lives = f"{found.parts * found.lives} lives of at most {found.steps} steps"
    races = f"{found.parts * found.races} races"
    return f"properties: profile {found.name}, {lives}, {races}, {found.kills} kills in each story"


def pytest_report_header(config: pytest.Config) -> str:
    return _told()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is played is bounded by its number of examples; a busy machine only takes longer."""
    longest = 1200 if profile().name == "ci" else 6 * 3600
    for item in items:
        if "properties" in item.path.parts:
            item.add_marker(pytest.mark.timeout(longest))
