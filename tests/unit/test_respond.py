"""Who may go how far, what a run's own numbers do, and which Prefect state an outcome is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from flows.message_bus.high_task_queue_depth import Numbers
from flows.message_bus.platform import MessageBus
from tasks import respond
from tasks.case import Case
from tasks.conclude import final_state
from tasks.ledger import Ledger, LockLost
from tasks.model.change import Diff, Purpose
from tasks.model.outcome import Outcome, Trust
from tasks.respond import Request, _trust, open_case, override
from tests.unit.inline import without_prefect
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import HIGH, Found, Standin, standin
from tests.wishes import Wish

OBSERVE, PLAN, APPROVE, ACT = Trust

# the site allows, asked for -> the run has
TRUST = [
    (ACT, None, ACT),
    (APPROVE, None, APPROVE),
    (APPROVE, ACT, APPROVE),
    (APPROVE, PLAN, PLAN),
    (OBSERVE, ACT, OBSERVE),
    (PLAN, APPROVE, PLAN),
    (ACT, OBSERVE, OBSERVE),
]


@pytest.mark.parametrize(("allowed", "asked", "has"), TRUST)
def test_a_run_never_has_more_trust_than_its_site(allowed: Trust, asked: Trust | None, has: Trust) -> None:
    assert _trust(allowed, asked) is has


# ---- the case of a run ---------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger, and a Prefect server where nothing is deployed and nobody has answered anything."""
    monkeypatch.setattr(respond, "_deployed", frozenset)
    monkeypatch.setattr(respond, "note_answers", lambda ledger, run: None)
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "run-1")
    without_prefect(monkeypatch)
    found = fresh_ledger()
    yield found
    found.close()


def opened(ledger: Ledger, broken: str = "") -> Case[Standin, Found]:
    """The run is executed, perhaps again."""
    return open_case(HIGH, standin(trust="act"), ledger, Request("prod"), broken)


def test_without_the_ledger_a_run_only_observes(ledger: Ledger) -> None:
    assert opened(ledger).allowed.trust is ACT
    assert opened(ledger, broken="the ledger fails").allowed.trust is OBSERVE


def test_a_run_that_is_executed_again_goes_on_with_what_it_had_written(ledger: Ledger) -> None:
    first = opened(ledger)
    first.intend("scale out", Wish(), Diff("2", "5"), Purpose.CHANGE, None)
    first.remember_useless("scale out")
    again = opened(ledger)
    assert (again.changed, again.useless, again.started_at) == (True, ["scale out"], first.started_at)


def test_an_earlier_process_of_the_same_run_writes_nothing_any_more(ledger: Ledger) -> None:
    """Prefect took it for dead, and started the run again elsewhere."""
    old = opened(ledger)
    old.hold()
    assert old.facts.lost() == ""
    new = opened(ledger)
    new.hold()
    assert new.facts.lost() == ""
    assert "was lost" in old.facts.lost()
    with pytest.raises(LockLost):
        old.intend("scale out", Wish(), Diff("2", "5"), Purpose.CHANGE, None)


# ---- settings ------------------------------------------------------------------------------------------------------


def site(**settings: object) -> MessageBus:
    return MessageBus.model_validate({"namespace": "bus", "context": "somewhere", **settings})


def test_a_site_trusts_per_runbook_and_asks_a_person_by_default() -> None:
    assert site().trust_in("high_task_queue_depth") is APPROVE
    careful = site(trust="act", trust_by_runbook={"high_task_queue_depth": "plan"})
    assert careful.trust_in("high_task_queue_depth") is PLAN
    assert careful.trust_in("redis_connection_loss") is ACT


def test_own_numbers_stand_in_for_the_sites_and_only_for_this_run() -> None:
    here = site()
    there = override(here, "high_task_queue_depth", Numbers(replicas=7, publishers=0))
    assert there.high_task_queue_depth.replicas == 7
    assert there.high_task_queue_depth.publishers == 0, "zero is a number, not an empty field"
    assert there.high_task_queue_depth.workers_per_pod == here.high_task_queue_depth.workers_per_pod
    assert there.namespace == here.namespace
    assert here.high_task_queue_depth.replicas == 5


@pytest.mark.parametrize("numbers", [None, Numbers()])
def test_no_own_numbers_leave_everything_as_it_is(numbers: Numbers | None) -> None:
    here = site()
    assert override(here, "high_task_queue_depth", numbers) is here


class Wrong(BaseModel):
    queue_limit: int = -5


def test_own_numbers_are_checked_as_the_sites_are() -> None:
    with pytest.raises(ValidationError):
        override(site(), "high_task_queue_depth", Wrong())


@pytest.mark.parametrize("numbers", [{"replicas": 0}, {"workers_per_pod": 0}, {"publishers": -1}])
def test_numbers_that_make_no_sense_are_refused_in_the_form(numbers: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Numbers.model_validate(numbers)


@pytest.mark.parametrize(
    ("labels", "alert", "concerned"),
    [
        ({"namespace": "bus"}, {"namespace": "bus", "alertname": "X"}, True),
        ({"namespace": "bus", "cluster": "a"}, {"namespace": "bus"}, False),
        ({"namespace": "bus"}, {"namespace": "other"}, False),
        ({"namespace": "bus"}, {}, False),
        ({}, {"namespace": "bus"}, False),
    ],
)
def test_which_alerts_concern_a_site(labels: dict[str, str], alert: dict[str, str], concerned: bool) -> None:
    assert site(alert_labels=labels).address("prod").answers_to(alert) is concerned


STATES = {
    Outcome.RECOVERED: "COMPLETED",
    Outcome.NOTHING_TO_DO: "COMPLETED",
    Outcome.PLANNED: "CANCELLED",
    Outcome.OBSERVED: "CANCELLED",
    Outcome.DEFERRED: "CANCELLED",
    Outcome.STEPPED_ASIDE: "CANCELLED",
    Outcome.NOT_RECOVERED: "FAILED",
    Outcome.REFUSED: "FAILED",
    Outcome.CANCELLED: "CANCELLED",
    Outcome.GIVEN_BACK: "COMPLETED",
    Outcome.STILL_NEEDED: "COMPLETED",
    Outcome.NOT_GIVEN_BACK: "FAILED",
}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_prefect_state_of_an_outcome(outcome: Outcome) -> None:
    state = final_state(outcome, "because")
    assert (state.type.value, state.name, state.message) == (STATES[outcome], outcome.value, "because")


def test_no_secret_is_shown_with_a_site() -> None:
    here = site(redis_url="redis://:hunter2@redis:6379", prometheus_token="hunter2")  # noqa: S106
    assert "hunter2" not in f"{here!r} {here} {here.model_dump_json()}"
