"""The event publisher, as a real process on a real Redis."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from lab.message_bus.control import Control
from lab.message_bus.events import Event, MalformedEvent
from lab.message_bus.publisher import Settings
from tests.lab.programs import Start
from tests.waiting import wait_for


@pytest.mark.parametrize(
    ("limit", "factor", "others", "expected"),
    [
        (None, 1.0, {}, 13),
        (None, 1.8, {}, 23.4),
        (5, 1.8, {}, 5),
        (50, 1.0, {}, 13),
        (None, 0.0, {}, 0),
        (None, 1.8, {"this": 3.0}, 39),
        (None, 1.8, {"another": 3.0}, 23.4),
    ],
)
def test_the_rate_follows_the_world_up_to_the_limit(
    limit: float | None, factor: float, others: dict[str, float], expected: float
) -> None:
    settings, control = Settings("redis://", "this", 13, limit), Control(event_rate_factor=factor, rate_factors=others)
    assert settings.rate_under(control) == pytest.approx(expected)
    assert Control.parse(control.fields()) == control


@pytest.mark.parametrize("text", ["", "[]", "1", '{"id": "1"}', '{"id": "1", "event_type": "a", "occurred_at": "now"}'])
def test_what_is_no_event_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(MalformedEvent):
        Event.decode(text)


@pytest.mark.parametrize("event", [Event.happening(), Event("1", "user.created", 1.5, depends_on="2")])
def test_an_event_survives_the_journey(event: Event) -> None:
    assert Event.decode(event.encode()) == event


@pytest.mark.live
def test_it_publishes_at_its_rate(redis: Redis, start: Start) -> None:
    start("publisher", PUBLISHER="this", EVENT_RATE="100")
    wait_for("it publishes", lambda: redis.llen("event:queue") > 0, 10)
    before, begun = redis.llen("event:queue"), time.monotonic()
    wait_for("it goes on", lambda: redis.llen("event:queue") >= before + 200, 10)
    assert 200 / (time.monotonic() - begun) == pytest.approx(100, rel=0.15)


@pytest.mark.live
def test_it_obeys_its_limit(redis: Redis, start: Start) -> None:
    redis.hset("lab:control", "event_rate_factor", "5")
    start("publisher", PUBLISHER="this", EVENT_RATE="100", EVENT_RATE_LIMIT="20")
    wait_for("it publishes", lambda: redis.llen("event:queue") > 0, 10)
    before, begun = redis.llen("event:queue"), time.monotonic()
    wait_for("it goes on", lambda: redis.llen("event:queue") >= before + 30, 10)
    assert time.monotonic() - begun > 1.2
