"""What all unit tests share: they need no server, and their properties are the same in every run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from deployments.intake import giving_back, watch
from tasks import aftermath, approval, contacts
from tests.unit.climbs import Climb
from tests.unit.inline import InlineCase, inline_case
from tests.unit.ledgers import take_back
from tests.unit.watching import Notifier, Outside, World

settings.register_profile("unit", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _ledgers_come_back() -> Iterator[None]:
    """Whatever ledgers a test used, the next one uses them again."""
    yield
    take_back()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    """Prefect and the people, instead of those outside."""
    found = Outside()
    monkeypatch.setattr(watch, "start_run", found.start_run)
    monkeypatch.setattr(watch, "soon_claimed", lambda: frozenset(found.coming))
    monkeypatch.setattr(giving_back, "start_run", found.start_run)
    monkeypatch.setattr(aftermath, "start_run", found.start_run)
    monkeypatch.setattr(watch, "wake", found.wake)
    monkeypatch.setattr(watch, "waits_for_worker", lambda run: found.waiting)
    monkeypatch.setattr(watch, "_tell_prefect", found.crashed.append)
    monkeypatch.setattr(contacts.Channel, "notifier", lambda channel: Notifier(channel.name, found))
    return found


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineCase]:
    """A run with one incident, in this thread."""
    found = inline_case(monkeypatch)
    yield found
    found.ledger.close()


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Climb:
    """A way up the ladder for a run that was started in a terminal: it cannot be suspended, until the test says so."""
    monkeypatch.setattr(approval, "can_wait", lambda: False)
    return Climb(monkeypatch)


@pytest.fixture
def world() -> Iterator[World]:
    """A ledger, and two watches on it."""
    found = World()
    yield found
    found.ledger.close()
