"""`queue-critical` on a real ground: what breaks, what cures it, and what does not."""

from __future__ import annotations

import pytest

from lab.ground import Ground
from lab.model import Form
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import holds_for
from tests.waiting import wait_for

pytestmark = pytest.mark.live

THRESHOLD = 950
RELIEVED = 500
"""At this length the document gives the paused publishers back."""


def overflowing(ground: Ground, observer: Observer, form: Form) -> None:
    """Break the ground, and wait until a person would be paged."""
    ground.break_("queue-critical", form)
    wait_for("the queue is nearly full", lambda: observer.look().pending > THRESHOLD, 20)
    holds_for(2, lambda: goes_on(observer))  # It does not go away by itself.


def goes_on(observer: Observer) -> bool:
    """Whether a person would still be paged."""
    view = observer.look()
    return view.pending > THRESHOLD and view.all_busy


def grow(observer: Observer, person: Person) -> None:
    """The document's emergency scale-up, and wait until it is complete."""
    person.set_pool_size(20)
    person.scale_at_least(10)
    person.restart()
    wait_for("ten pods with twenty workers", lambda: observer.look().workers == 200, 60, every=0.5)


@pytest.mark.prove
def test_ten_pods_of_twenty_cure_what_is_curable_at_once(ground: Ground, observer: Observer, person: Person) -> None:
    overflowing(ground, observer, Form.CURABLE_AT_ONCE)
    grow(observer, person)
    wait_for("the queue is shorter", lambda: observer.look().pending < RELIEVED, 20)
    wait_for("the workers have time to spare", lambda: observer.look().utilisation < 0.5, 20)


@pytest.mark.prove
def test_pausing_what_can_wait_cures_what_is_curable_later(ground: Ground, observer: Observer, person: Person) -> None:
    overflowing(ground, observer, Form.CURABLE_LATER)
    person.scale("analytics-publisher", 0)
    person.scale("background-job-publisher", 0)
    wait_for("the queue is shorter", lambda: observer.look().pending < RELIEVED, 30)
    assert observer.look().workers == 20


@pytest.mark.prove
def test_five_pods_do_not_cure_what_is_curable_later(ground: Ground, observer: Observer, person: Person) -> None:
    overflowing(ground, observer, Form.CURABLE_LATER)
    person.scale_at_least(5)
    wait_for("five pods", lambda: observer.look().workers == 50, 30)
    wait_for("the new pods have filled their hands, and the queue is full again", lambda: goes_on(observer), 10)
    holds_for(5, lambda: goes_on(observer))


@pytest.mark.prove
def test_nothing_cures_the_incurable(ground: Ground, observer: Observer, person: Person) -> None:
    overflowing(ground, observer, Form.INCURABLE)
    grow(observer, person)
    person.scale("analytics-publisher", 0)
    person.scale("background-job-publisher", 0)
    wait_for("the new workers have filled their hands, and the queue is full again", lambda: goes_on(observer), 10)
    holds_for(5, lambda: goes_on(observer))
