"""Alerts that our own claims explain: held back so long, and no longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployments.intake.handle import Fate, Handled, adopt, handle
from deployments.intake.webhook import Alert
from tasks.explained import Ringing, explains
from tasks.ledger import ClaimRecord, ClaimState, Ledger
from tasks.model.claim import Bound, Claim
from tasks.model.outcome import Severity
from tasks.model.site import Address, SideEffect
from tasks.model.target import Target
from tests.contract.ledger.places import PUBLISHER, claimant, intend, replicas
from tests.unit.ledgers import Clock, fresh_ledger
from tests.unit.standin import HIGH

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DUE = NOW + 60 * MINUTE
EFFECT = SideEffect("Silent", ("publisher", "other"), ("replicas",), Bound.AT_MOST, "deployment", 600)
CLAIM = ClaimRecord(
    id=1,
    site="prod",
    target=PUBLISHER,
    field="replicas",
    claim=Claim(Bound.AT_MOST, 0),
    state=ClaimState.OPEN,
    run="run-1",
    incident=None,
    runbook="critical",
    option="act at once",
    severity=Severity.CRITICAL,
    made_at=NOW,
    due_at=DUE,
)


def given_back(after: timedelta, state: ClaimState = ClaimState.RELEASED) -> ClaimRecord:
    return replace(CLAIM, state=state, ended_at=NOW + after)


@pytest.mark.parametrize(
    ("claim", "since", "labels", "at", "held"),
    [
        pytest.param(CLAIM, NOW + MINUTE, {}, 5 * MINUTE, True, id="while the claim is open"),
        pytest.param(CLAIM, NOW, {"deployment": "publisher"}, 5 * MINUTE, True, id="it names the target"),
        pytest.param(CLAIM, NOW, {"deployment": "other"}, 5 * MINUTE, False, id="it names another target"),
        pytest.param(CLAIM, NOW - MINUTE, {}, 5 * MINUTE, False, id="it was on before"),
        pytest.param(CLAIM, NOW, {}, 60 * MINUTE, False, id="the claim is overdue"),
        pytest.param(given_back(20 * MINUTE), NOW, {}, 29 * MINUTE, True, id="just given back"),
        pytest.param(given_back(20 * MINUTE), NOW, {}, 30 * MINUTE, False, id="given back long ago"),
        pytest.param(
            given_back(20 * MINUTE, ClaimState.LEFT), NOW, {}, 21 * MINUTE, False, id="a person set another value"
        ),
        pytest.param(
            given_back(MINUTE, ClaimState.WITHDRAWN), NOW, {}, 2 * MINUTE, False, id="it never reached the target"
        ),
        pytest.param(
            replace(CLAIM, state=ClaimState.INTENDED), NOW, {}, MINUTE, False, id="nobody knows whether it did"
        ),
        pytest.param(replace(CLAIM, field="memory"), NOW, {}, MINUTE, False, id="another field"),
        pytest.param(
            replace(CLAIM, claim=Claim(Bound.AT_LEAST, 5)), NOW, {}, MINUTE, False, id="a floor silences nothing"
        ),
        pytest.param(
            replace(CLAIM, target=Target("deployment", "bus", "orchestration")),
            NOW,
            {},
            MINUTE,
            False,
            id="a target that is no event source",
        ),
    ],
)
def test_what_a_claim_explains(
    claim: ClaimRecord, since: datetime, labels: Mapping[str, str], at: timedelta, held: bool
) -> None:
    assert explains(claim, EFFECT, Ringing("Silent", labels, since), NOW + at) is held


# ---- at the intake ----

SITE = Address(
    "prod",
    HIGH.platform.slug(),
    {"namespace": "bus"},
    tuple(replace(EFFECT, alert=alert) for alert in ("Silent", HIGH.alert)),
)
BY_ALERT = {HIGH.alert: HIGH}


class Scene:
    """A site where a run has paused a publisher, and its intake. The clock is the ledger's and the intake's."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.ledger: Ledger = fresh_ledger(self.clock)
        draft = replicas(2, 0, Claim(Bound.AT_MOST, 0), PUBLISHER)
        self.ledger.claims.confirm(intend(self.ledger, draft, claimant=claimant(DUE)))
        self.clock.turn(MINUTE)

    def give_back(self) -> None:
        held = self.ledger.claims.of_run("run-1")
        self.ledger.claims.end([one.id for one in held], ClaimState.RELEASED, "given back")

    def take(self, name: str = HIGH.alert, status: str = "firing", **labels: str) -> Handled:
        told = {"alertname": name, "namespace": "bus", **labels}
        alert = Alert.model_validate({"status": status, "labels": told, "startsAt": self.clock()})
        return handle(self.ledger, BY_ALERT, [SITE], [alert], self.clock())[0]

    def look(self, after: timedelta = timedelta(0)) -> list[Fate]:
        self.clock.turn(after)
        return [one.fate for one in adopt(self.ledger, BY_ALERT, [SITE], self.clock())]


@pytest.fixture
def scene() -> Iterator[Scene]:
    found = Scene()
    yield found
    found.ledger.close()


def test_an_alert_that_is_our_own_doing_opens_no_incident_and_is_shown(scene: Scene) -> None:
    assert scene.take().fate is Fate.HELD_BACK
    assert scene.ledger.incidents.latest() == []
    (kept,) = scene.ledger.strays.firing()
    assert kept.explained_by == scene.ledger.claims.of_run("run-1")[0].id
    assert kept.why == (
        "held back: replicas of deployment bus/publisher is at most 0 on behalf of high_task_queue_depth (run run-1), "
        "until 2026-01-01 13:00 UTC at the latest"
    )


def test_it_counts_when_it_is_still_on_after_the_claim_was_given_back(scene: Scene) -> None:
    scene.take()
    assert scene.look() == []
    scene.give_back()
    assert scene.look(9 * MINUTE) == []
    assert scene.look(MINUTE) == [Fate.OPENED]
    (opened,) = scene.ledger.incidents.still_open()
    assert opened.started_at == NOW + MINUTE, "it has waited long enough"
    assert scene.ledger.strays.all() == []


def test_it_counts_when_the_claim_is_overdue(scene: Scene) -> None:
    scene.take()
    assert scene.look(DUE - scene.clock()) == [Fate.OPENED]


def test_one_that_is_over_by_then_is_never_heard_of_again(scene: Scene) -> None:
    scene.take()
    assert scene.take(status="resolved").fate is Fate.NOT_OPEN
    assert scene.ledger.strays.firing() == []
    scene.give_back()
    assert scene.look(60 * MINUTE) == []


def test_one_of_nobody_s_is_shown_as_held_back_and_then_as_nobody_s(scene: Scene) -> None:
    assert scene.take("Silent", deployment="publisher").fate is Fate.HELD_BACK
    assert scene.take("Silent", deployment="other").fate is Fate.NO_RUNBOOK
    scene.give_back()
    assert scene.look(10 * MINUTE) == []
    assert {(one.why, one.explained_by, one.times) for one in scene.ledger.strays.firing()} == {
        (Fate.NO_RUNBOOK.value, None, 1)
    }


def test_an_alert_whose_incident_is_open_already_is_folded_into_it(scene: Scene) -> None:
    assert scene.take(deployment="other").fate is Fate.OPENED
    assert scene.take(deployment="publisher").fate is Fate.FOLDED
