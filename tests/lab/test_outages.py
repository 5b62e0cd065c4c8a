"""Processes of the ground are killed, and come back."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from redis import Redis

from lab.ground import Ground
from lab.model import Form, GroundError
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import holds_for
from tests.waiting import wait_for

pytestmark = pytest.mark.live

# After so long the pods take each other for dead, if they do not allow for what they could not see.
OUTAGE_SECONDS = 5


@pytest.fixture(autouse=True)
def everything_comes_back(ground: Ground) -> Iterator[None]:
    yield
    for component in ground.status().components:
        ground.revive(component.name)


def is_running(ground: Ground, component: str) -> bool:
    (found,) = (each for each in ground.status().components if each.name == component)
    return found.running


def tasks(ground_url: str) -> set[str]:
    with Redis.from_url(ground_url, decode_responses=True) as redis:
        return set(redis.hkeys("orchestration:tasks"))


def test_only_what_there_is_can_be_killed(ground: Ground) -> None:
    for act in (ground.kill, ground.revive):
        with pytest.raises(GroundError, match=r"the ground has no database; it has redis, apiserver, .*kubelet"):
            act("database")
    ground.revive("redis")  # It runs: nothing happens.
    assert ground.status().up


def test_redis_comes_back_with_all_tasks_and_the_pods_wait_for_it(ground: Ground, observer: Observer) -> None:
    ground.break_("worker-exhaustion", Form.INCURABLE)
    wait_for("tasks wait", lambda: observer.look().pending > 200, 20)
    url, restarts = ground.endpoints().redis_url, observer.restarts()
    before, running = tasks(url), observer.running_longer_than(0)
    ground.kill("redis")
    status = ground.status()
    assert (status.up, is_running(ground, "redis"), status.queue_depth) == (False, False, None)
    assert status.utilisation == 1
    assert ground.audit()
    holds_for(OUTAGE_SECONDS, lambda: math.isnan(observer.look().pending))
    ground.revive("redis")
    assert before <= tasks(url)
    wait_for("the pods are connected again", lambda: observer.look().pending > 200, 10)
    holds_for(OUTAGE_SECONDS, lambda: observer.look().pending > 200)
    assert sorted(observer.running_longer_than(OUTAGE_SECONDS)) == sorted(running), "nobody took another one's tasks"
    assert observer.restarts() == restarts
    ground.heal()  # It works off tasks again.


def test_the_cluster_comes_back_with_all_objects(ground: Ground, person: Person) -> None:
    person.set_pool_size(11)
    ground.kill("apiserver")
    status = ground.status()
    assert (status.workloads, status.utilisation) == ((), None)
    assert status.queue_depth is not None
    ground.revive("apiserver")
    assert person.pool_size() == 11
    person.scale_at_least(3)
    wait_for("the controllers are at work again", lambda: {"orchestration": 3}.items() <= ready(ground).items(), 20)


def test_pods_live_and_die_with_their_kubelet(ground: Ground, observer: Observer) -> None:
    restarts = observer.restarts()
    ground.kill("kubelet")
    wait_for("no pod answers", lambda: observer.look().pools == [], 10)
    ground.revive("kubelet")
    wait_for("the pods answer again", lambda: len(observer.look().pools) == 2, 20)
    assert observer.restarts() == restarts + 2


def ready(ground: Ground) -> dict[str, int]:
    return {load.name: load.ready for load in ground.status().workloads}
