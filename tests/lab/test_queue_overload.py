"""`queue-overload` on a real ground: what breaks, what cures it, and what does not."""

from __future__ import annotations

import pytest
from kubernetes.client import ApiException

from lab.ground import Ground
from lab.model import Form
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import holds_for
from tests.waiting import wait_for

pytestmark = pytest.mark.live

THRESHOLD = 800
LONG = 500
"""With a queue of this length nothing has been mended yet: it is not worked off in the seconds that a test looks."""


def overloaded(ground: Ground, observer: Observer, form: Form) -> None:
    """Break the ground, and wait until a person would be called."""
    ground.break_("queue-overload", form)
    wait_for("the queue is long", lambda: observer.look().pending > THRESHOLD, 20)


def goes_on(observer: Observer) -> bool:
    """Whether nothing has been mended."""
    view = observer.look()
    return view.pending > LONG and view.all_busy


def cured(observer: Observer) -> None:
    """The criteria of the document: fewer than 800 tasks pending, workers busy to less than 80 %, and it lasts."""
    wait_for("the queue is shorter", lambda: observer.look().pending < THRESHOLD, 25)
    wait_for("the workers have time to spare", lambda: observer.look().utilisation < 0.8, 60, every=0.5)
    holds_for(3, lambda: observer.look().pending < THRESHOLD)


@pytest.mark.prove
def test_more_pods_cure_what_is_curable_at_once(ground: Ground, observer: Observer, person: Person) -> None:
    overloaded(ground, observer, Form.CURABLE_AT_ONCE)
    holds_for(3, lambda: goes_on(observer))  # It does not go away by itself.
    person.scale_at_least(5)
    cured(observer)
    assert person.replicas("orchestration") == 5


@pytest.mark.prove
def test_bigger_pools_cure_what_is_curable_later_and_more_pods_are_refused(
    ground: Ground, observer: Observer, person: Person
) -> None:
    overloaded(ground, observer, Form.CURABLE_LATER)
    with pytest.raises(ApiException) as refused:
        person.scale_at_least(5)
    assert refused.value.status == 422
    person.scale("orchestration", 5)
    wait_for("the autoscaler has its way", lambda: person.replicas("orchestration") == 2, 10)
    person.set_pool_size(15)
    holds_for(3, lambda: {size for _, size in observer.look().pools} == {10})  # The pods do not read it while they run.
    person.restart()
    wait_for("the queue gets shorter", lambda: observer.look().pending < LONG, 40)
    assert {size for _, size in observer.look().pools} == {15}


@pytest.mark.prove
def test_fewer_publishers_cure_what_is_curable_later(ground: Ground, observer: Observer, person: Person) -> None:
    overloaded(ground, observer, Form.CURABLE_LATER)
    person.scale("event-publishers", 1)
    wait_for("the queue gets shorter fast", lambda: observer.look().pending < LONG, 25)


@pytest.mark.prove
def test_nothing_cures_the_incurable(ground: Ground, observer: Observer, person: Person) -> None:
    overloaded(ground, observer, Form.INCURABLE)
    person.set_pool_size(15)
    person.scale_at_least(5)
    person.restart()
    person.scale("event-publishers", 1)
    wait_for("five pods with fifteen workers", lambda: observer.look().workers == 75, 40, every=0.5)
    wait_for("the new workers hang, too", lambda: goes_on(observer), 10)
    holds_for(5, lambda: goes_on(observer))
    assert observer.look().pending > THRESHOLD
