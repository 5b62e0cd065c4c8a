"""The flow `escalate`: what it makes of what Prefect says about a run."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Running

from flows.incidents import escalate as module
from flows.incidents.escalate import conclude, look_at
from tasks.aftermath import Aftermath, Fate
from tasks.model.outcome import Outcome
from tasks.sites import Saved
from tests.unit.standin import HIGH, RUNBOOKS
from tests.unit.watching import MINUTE, Outside, World, starts


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUNBOOKS", RUNBOOKS)


def flow_run(state: State[Any], id: str = "", **parameters: Any) -> FlowRun:
    return FlowRun(id=uuid.UUID(id) if id else uuid.uuid4(), flow_id=uuid.uuid4(), state=state, parameters=parameters)


def look(world: World, fallen: FlowRun, broken: str = "") -> Aftermath:
    saved = Saved(tuple(world.sites), {world.site.name: broken} if broken else {})
    return look_at(world.ledger, saved, fallen, world.ledger.now())


@pytest.mark.parametrize("state", [Failed(name="NotRecovered"), Failed(), Crashed()], ids=lambda state: state.name)
def test_a_run_that_fell_is_looked_after(world: World, outside: Outside, state: State[Any]) -> None:
    run = world.run(world.raised())
    world.later(MINUTE)
    assert look(world, flow_run(state, run)).fate is Fate.NOT_YET
    world.later(2 * world.platform.pace.lease)
    assert look(world, flow_run(state, run)).fate is Fate.PICKED_UP


@pytest.mark.parametrize("state", [Running(), Paused(), Completed(), Cancelled()], ids=lambda state: state.name)
def test_a_run_that_did_not_fall_is_left_alone(world: World, outside: Outside, state: State[Any]) -> None:
    """Somebody started it again before this flow came to it, or started this flow for it by hand."""
    why = world.raised()
    run = world.run(why)
    world.asks(run, why)
    world.later(timedelta(hours=1))
    assert look(world, flow_run(state, run)).fate is Fate.NOT_NEEDED
    assert outside == Outside()
    found = world.ledger.runs.get(run)
    assert found is not None
    assert found.ended_at is None


def test_a_run_that_the_ledger_does_not_know_is_known_by_its_incident(world: World, outside: Outside) -> None:
    why = world.raised()
    found = look(world, flow_run(Crashed(), site="prod", incident=why.id))
    assert found.fate is Fate.PICKED_UP
    assert starts(outside) == [(HIGH.slug, why.id)]


@pytest.mark.parametrize("incident", ["", "gone"])
def test_a_run_of_a_person_that_never_began_needs_nobody(world: World, outside: Outside, incident: str) -> None:
    assert look(world, flow_run(Failed(), site="prod", incident=incident)).fate is Fate.NOT_NEEDED
    assert outside == Outside()


def test_a_restore_is_no_runbook(world: World, outside: Outside) -> None:
    run = world.run(runbook="restore")
    assert look(world, flow_run(Crashed(), run)) == Aftermath(Fate.NOT_NEEDED, "restore is no runbook")


def test_without_its_site_nobody_can_be_called(world: World, outside: Outside) -> None:
    run = world.run(world.raised())
    world.ledger.runs.end(run, Outcome.NOT_RECOVERED, "", None)
    world.sites.clear()
    found = look(world, flow_run(Failed(), run))
    assert found.fate is Fate.NOBODY_CALLED
    assert "there is no site 'prod'" in found.text
    assert (
        "namespace: missing"
        in look(world, flow_run(Failed(), run), "the site 'prod' does not fit: namespace: missing").text
    )


@pytest.mark.parametrize("fate", Fate)
def test_it_fails_only_where_nobody_was_called(fate: Fate) -> None:
    state = conclude(Aftermath(fate, "text"))
    assert (state.type.value, state.name) == ("FAILED" if fate is Fate.NOBODY_CALLED else "COMPLETED", fate.value)


@pytest.mark.parametrize("run", ["", "no id", "1234"])
def test_what_is_no_run_is_told_in_one_sentence(run: str) -> None:
    state = module.escalate.fn(run)
    assert (state.type.value, state.name) == ("FAILED", "BadInput")
    assert "give the id" in (state.message or "")
