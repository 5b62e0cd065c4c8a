"""`worker-exhaustion` on a real ground: what breaks, what cures it, and what does not."""

from __future__ import annotations

import pytest

from lab.ground import Ground
from lab.model import Form
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import holds_for
from tests.waiting import wait_for

pytestmark = pytest.mark.live

THRESHOLD = 50
FAR_FROM_OVERLOAD = 500


def exhausted(ground: Ground, observer: Observer, form: Form) -> None:
    """Break the ground, and wait until a person would be called."""
    ground.break_("worker-exhaustion", form)
    wait_for("all workers are busy and tasks wait", lambda: goes_on(observer), 20)
    holds_for(3, lambda: goes_on(observer))  # It does not go away by itself.


def goes_on(observer: Observer) -> bool:
    """Whether a person would still be called, and to this and not to an overload."""
    view = observer.look()
    return view.all_busy and THRESHOLD < view.pending < FAR_FROM_OVERLOAD


def cured(observer: Observer) -> None:
    """The criteria of the document: workers busy to less than 90 %, the queue drains; and it lasts."""
    wait_for("the queue is short", lambda: observer.look().pending < THRESHOLD, 40)
    wait_for("the workers have time to spare", lambda: observer.look().utilisation < 0.9, 20)
    holds_for(3, lambda: observer.look().pending < THRESHOLD)


@pytest.mark.prove
def test_more_pods_cure_what_is_curable_at_once(ground: Ground, observer: Observer, person: Person) -> None:
    exhausted(ground, observer, Form.CURABLE_AT_ONCE)
    person.scale_at_least(5)
    cured(observer)


@pytest.mark.prove
def test_bigger_pools_cure_what_is_curable_at_once(ground: Ground, observer: Observer, person: Person) -> None:
    exhausted(ground, observer, Form.CURABLE_AT_ONCE)
    person.set_pool_size(15)
    person.restart()
    cured(observer)


@pytest.mark.prove
def test_cancelling_cures_what_is_curable_later_and_a_restart_does_not(
    ground: Ground, observer: Observer, person: Person
) -> None:
    exhausted(ground, observer, Form.CURABLE_LATER)
    wait_for("nine tasks hang", lambda: len(observer.running_longer_than(2)) == 9, 20)
    wait_for("four wait for one of them", lambda: len(observer.blocked()) == 4, 20)
    hanging = observer.running_longer_than(2)
    person.restart()
    wait_for("every pod is a new one", person.restarted, 30)
    wait_for("the same tasks hang again", lambda: set(observer.running_longer_than(2)) == set(hanging), 20)
    wait_for("the queue has grown again", lambda: goes_on(observer), 30)
    assert [person.cancel(task) for task in hanging] == 9 * [202]
    cured(observer)
    assert observer.look().workers == 20
    assert observer.blocked() == []


@pytest.mark.prove
def test_nothing_cures_the_incurable(ground: Ground, observer: Observer, person: Person) -> None:
    exhausted(ground, observer, Form.INCURABLE)
    assert 200 < observer.look().pending < 400
    cancelled = observer.running_longer_than(0)[:5]
    assert [person.cancel(task) for task in cancelled] == 5 * [202]
    wait_for("they are gone", lambda: not set(cancelled) & set(observer.running_longer_than(0)), 10)
    wait_for("others hang in their place", lambda: goes_on(observer), 5)
    person.set_pool_size(15)
    person.scale_at_least(5)
    person.restart()
    wait_for("five pods with fifteen workers", lambda: observer.look().workers == 75, 40, every=0.5)
    wait_for("the new workers hang too", lambda: goes_on(observer), 5)
    holds_for(4, lambda: goes_on(observer))
    assert observer.look().pending > 200
