"""What is still changed at a site that was deleted: nobody else gives it back, so the intake says that it is so."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.intake.health import LEFT, Health
from tests.unit.watching import World


@pytest.mark.parametrize(("why", "told"), [("", True), ("the sites cannot be read", False)])
def test_what_is_overdue_at_a_deleted_site_is_told(world: World, why: str, told: bool) -> None:
    run = world.run()
    world.claims(run, None, due=timedelta(minutes=5))
    book: Any = SimpleNamespace(sites=list(world.sites), why=why, broken={})
    parts: dict[str, Any] = dict.fromkeys(
        ("belonging", "desk", "announcer", "watch"), SimpleNamespace(why="", alive=True)
    )
    parts["watch"].went_on_at = {}
    health = Health(world.ledger, book=book, **parts)
    world.later(timedelta(minutes=6))
    assert health.parts()[LEFT] == "", "its own site gives it back, or calls about it"
    book.sites.clear()
    assert ("at sites that were deleted" in health.parts()[LEFT]) is told
