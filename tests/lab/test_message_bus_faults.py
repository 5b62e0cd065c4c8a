"""What all faults have in common."""

from __future__ import annotations

import pytest

from lab.ground import Ground
from lab.message_bus.faults import FAULTS, find_fault
from lab.model import Form, GroundError, Status
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import holds_for
from tests.waiting import wait_for

NAMES = sorted({fault.name for fault in FAULTS})


@pytest.mark.parametrize("name", NAMES)
def test_every_form_says_what_one_sees_and_what_cures(name: str) -> None:
    faults = [find_fault(name, form) for form in Form]
    assert all(fault.symptoms and fault.cure for fault in faults)


def test_what_there_is_is_told() -> None:
    with pytest.raises(GroundError, match=f"there is no fault flood.*{', '.join(NAMES)}"):
        find_fault("flood", Form.HEALTHY)


@pytest.mark.live
@pytest.mark.parametrize("name", NAMES)
def test_healthy_stays_healthy(ground: Ground, name: str) -> None:
    ground.break_(name, Form.HEALTHY)
    utilisations = []

    def calm() -> bool:
        status = ground.status()
        utilisations.append(status.utilisation or 0)
        return status.queue_depth is not None and status.queue_depth < 50

    holds_for(4, calm)
    assert 0.4 < sum(utilisations) / len(utilisations) < 0.8


def replicas(status: Status) -> dict[str, tuple[int, int]]:
    return {load.name: (load.ready, load.desired) for load in status.workloads}


NORMAL = {
    "orchestration": (2, 2),
    "event-publishers": (3, 3),
    "analytics-publisher": (2, 2),
    "background-job-publisher": (2, 2),
}


@pytest.mark.live
def test_healing_takes_back_what_people_did(ground: Ground, person: Person) -> None:
    ground.break_("queue-overload", Form.CURABLE_LATER)
    person.set_pool_size(12)
    person.restart()
    person.scale("event-publishers", 0)
    ground.heal()
    status = ground.status()
    assert status.fault is None
    assert replicas(status) == NORMAL
    person.scale_at_least(3)  # The autoscaler has its old bounds again.


@pytest.mark.live
def test_healing_takes_away_what_stands_in_the_way(ground: Ground) -> None:
    """An administrator's budget and the marks of Helm and Argo CD; the operator sees them."""
    admin, operator = Person(ground.endpoints(), context="admin"), Person(ground.endpoints())
    before = operator.labels("orchestration")
    admin.allow_no_disruption()
    wait_for("the budget is counted", lambda: operator.allowed_disruptions() == 0, 10)
    operator.scale_at_least(3)
    wait_for("a third pod may go", lambda: operator.allowed_disruptions() == 1, 20)
    marks = {"app.kubernetes.io/managed-by": "Helm"}, {"argocd.argoproj.io/tracking-id": "bus:apps/Deployment"}
    admin.label("orchestration", *marks)
    assert operator.labels("orchestration") == before | marks[0] | marks[1]
    ground.heal()
    assert operator.allowed_disruptions() is None
    assert operator.labels("orchestration") == before


@pytest.mark.live
def test_healing_frees_the_workers(ground: Ground, observer: Observer) -> None:
    ground.break_("worker-exhaustion", Form.CURABLE_LATER)
    wait_for("tasks hang", lambda: len(observer.running_longer_than(1)) == 9, 20)
    ground.heal()
    assert observer.running_longer_than(1) == []
    assert observer.blocked() == []
