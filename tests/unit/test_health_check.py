"""The health check: it raises what an alert would raise, closes what it raised itself, and never takes silence for
health."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import State
from prefect.states import Completed, Failed

from flows.checks import health_check as checks
from flows.checks.health_check import GAP, INTERVAL, Check, conclude, health_check, look_at
from flows.incidents import restore as restoring
from flows.incidents.restore import restore
from tasks.installation import WrongLedger
from tasks.ledger import ClaimRecord, Ledger
from tasks.model.claim import Bound, Claim
from tasks.model.criterion import Limit
from tasks.model.evidence import UnknownReading
from tasks.model.incident import Incident, Raiser
from tasks.runbook import AnyRunbook, Trigger
from tasks.sites import Saved, Site, SiteBroken, SiteNotFound
from tests.contract.ledger.places import PUBLISHER, intend, replicas
from tests.unit.inline import incident
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import HIGH, QUESTION, Standin, standin

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOLD = 5 * MINUTE
FEW, MANY = 100, 900

RUNBOOK: AnyRunbook = replace(
    HIGH, trigger=lambda site: Trigger("more than 800 wait", QUESTION, Limit(">", 800, "tasks"), HOLD)
)


class Scene:
    """A site, looked at now and then."""

    def __init__(self) -> None:
        self.ledger = fresh_ledger()
        self.platform: Standin = standin()
        self.site = Site("prod", self.platform)

    def look(self, waiting: float | Exception, at: timedelta) -> Check:
        self.platform.answers.value = waiting
        return look_at(self.ledger, RUNBOOK, self.site, NOW + at)

    @property
    def open(self) -> list[Incident]:
        return self.ledger.incidents.still_open()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """No event is sent: that is the business of `raise_incident`."""
    monkeypatch.setattr(checks, "raise_incident", lambda ledger, incident: ledger.incidents.open(incident))
    return Scene()


def test_a_limit_that_is_kept_is_fine(scene: Scene) -> None:
    assert scene.look(FEW, 0 * MINUTE) == Check(HIGH.id, "prod", False, "fine: 100 tasks")
    assert scene.open == []


def test_an_old_sample_resolves_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path has dried up: what was fine some minutes ago says nothing of now."""
    scene.look(MANY, 0 * MINUTE)
    scene.ledger.incidents.open(incident(HIGH, raiser=Raiser.HEALTH_CHECK))
    ask = scene.platform.answers.ask
    monkeypatch.setattr(scene.platform.answers, "ask", lambda question: replace(ask(question), lag=2 * MINUTE))
    found = scene.look(FEW, MINUTE)
    assert (found.broken, found.text) == (None, "cannot be told: its newest sample is 120 s old, more than 60 s")
    assert len(scene.open) == 1


def test_what_a_claim_of_ours_explains_is_said_and_raises_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = at_most_none(scene.ledger)
    monkeypatch.setattr(checks, "explaining", lambda ledger, site, ringing: claim)
    *_, check = [scene.look(MANY, minute * MINUTE) for minute in range(6)]
    assert check.broken
    assert "900 tasks; held back: replicas of deployment bus/publisher is at most 0" in check.text
    assert scene.open == []


def at_most_none(ledger: Ledger) -> ClaimRecord:
    ledger.claims.confirm(intend(ledger, replicas(2, 0, Claim(Bound.AT_MOST, 0), PUBLISHER)))
    return ledger.claims.of_run("run-1")[0]


def test_a_limit_has_to_be_broken_for_the_document_s_time(scene: Scene) -> None:
    for minute in range(5):
        check = scene.look(MANY, minute * MINUTE)
        assert check.broken
        assert check.text == f"more than 800 wait: 900 tasks, for {minute * MINUTE} of {HOLD}"
        assert scene.open == []
    check = scene.look(MANY, HOLD)
    (raised,) = scene.open
    assert check.text == f"more than 800 wait: 900 tasks; incident {raised.id[:8]} raised"
    assert (raised.raiser, raised.alert, raised.runbook) == (Raiser.HEALTH_CHECK, HIGH.alert, HIGH.id)
    assert (raised.started_at, raised.severity) == (NOW, "warning"), "the time counts from when the limit was broken"
    assert scene.look(MANY, HOLD + MINUTE).text.endswith(f"incident {raised.id[:8]} is open already")
    assert len(scene.open) == 1


def test_a_limit_that_was_kept_in_between_counts_anew(scene: Scene) -> None:
    for minute, waiting in enumerate([MANY, MANY, FEW, MANY, MANY, MANY]):
        scene.look(waiting, minute * MINUTE)
    assert scene.open == []


def test_nobody_knows_what_was_between_two_looks_that_are_far_apart(scene: Scene) -> None:
    scene.look(MANY, 0 * MINUTE)
    assert scene.look(MANY, GAP + MINUTE).text.endswith(f"for {timedelta(0)} of {HOLD}")
    assert scene.look(MANY, 2 * GAP + MINUTE).text.endswith(f"for {GAP} of {HOLD}")
    assert GAP > INTERVAL, "one look may fail"
    assert scene.open == []


def test_when_next_to_nothing_is_missing_the_same_check_looks_once_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    clock = [NOW + HOLD]

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return clock[0]

    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(checks, "datetime", Later)
    for minute in range(5):
        scene.look(MANY, minute * MINUTE)
    assert scene.look(MANY, HOLD - timedelta(seconds=4)).text.endswith("raised")
    assert waited == [4]


def test_what_cannot_be_read_is_neither_broken_nor_kept(scene: Scene) -> None:
    scene.look(MANY, 0 * MINUTE)
    check = scene.look(ConnectionError("Prometheus is gone"), MINUTE)
    assert (check.broken, check.text) == (None, "cannot be told: Prometheus is gone")
    assert scene.look(MANY, 2 * MINUTE).text.endswith(f"for {2 * MINUTE} of {HOLD}"), "it goes on counting"
    scene.look(MANY, HOLD)
    scene.look(ConnectionError("Prometheus is gone"), HOLD + MINUTE)
    assert len(scene.open) == 1, "silence closes nothing"
    scene.look(UnknownReading("the value is NaN"), HOLD + MINUTE)
    assert len(scene.open) == 1, "nor does what is not a number"


def test_what_it_raised_it_closes(scene: Scene) -> None:
    for minute in range(6):
        scene.look(MANY, minute * MINUTE)
    assert len(scene.open) == 1
    scene.look(FEW, 6 * MINUTE)
    assert scene.open == []


def test_what_alertmanager_raised_is_alertmanager_s_to_close(scene: Scene) -> None:
    scene.ledger.incidents.open(incident(HIGH, site="prod"))
    scene.look(FEW, 0 * MINUTE)
    assert [found.raiser for found in scene.open] == [Raiser.ALERTMANAGER]


# ---- a whole check -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "state"),
    [
        ([], Completed(name="NothingToCheck")),
        ([False, False], Completed(name="Healthy", message="2 limits kept")),
        ([False, True], Completed(name="LimitBroken", message="high at prod: text")),
        ([False, True, None], Failed(name="CannotTell", message="high at prod: text; high at prod: text")),
    ],
)
def test_how_it_ends(broken: list[bool | None], state: State[Any]) -> None:
    found = conclude([Check("high", "prod", one, "text") for one in broken])
    assert (found.type, found.name) == (state.type, state.name)
    assert state.message in (None, found.message)


@contextmanager
def another_ledger() -> Iterator[Ledger]:
    raise WrongLedger("this worker's ledger is not the one")
    yield


@pytest.mark.parametrize(("flow", "module"), [(health_check, checks), (restore, restoring)])
class TestBoth:
    """What holds for the two flows that look at all sites."""

    def state(self, flow: object, site: str = "") -> State[Any]:
        found: State[Any] = flow.fn(site=site)  # type: ignore[attr-defined]
        assert found.type is Failed().type
        return found

    @pytest.mark.parametrize("error", [SiteNotFound("there is no site 'prodd'"), SiteBroken("the site does not fit")])
    def test_a_site_that_is_not_there_or_not_usable_is_bad_input(
        self, flow: object, module: object, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def choose(platforms: object, name: str) -> Saved:
            assert name == "prodd"
            raise error

        monkeypatch.setattr(module, "choose", choose)
        state = self.state(flow, "prodd")
        assert (state.name, state.message) == ("BadInput", str(error))

    def test_with_another_ledger_nothing_is_done(
        self, flow: object, module: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "choose", lambda platforms, name: Saved((Site("prod", standin()),)))
        monkeypatch.setattr(module, "our_ledger", another_ledger)
        state = self.state(flow)
        assert (state.name, state.message) == ("NoLedger", "this worker's ledger is not the one")

    def test_a_broken_site_fails_it_and_keeps_no_other_from_its_turn(
        self, flow: object, module: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        why = "the site 'prod' does not fit message-bus: contacts.0: no level"
        monkeypatch.setattr(module, "choose", lambda platforms, name: Saved((), {"prod": why}))
        monkeypatch.setattr(module, "our_ledger", contextmanager(lambda: iter([fresh_ledger()])))
        assert why in (self.state(flow).message or "")
