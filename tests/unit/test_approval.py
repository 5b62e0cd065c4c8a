"""A plan put before a person: asked once, answered in the form or elsewhere, and never for another plan."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.exceptions import Pause, PrefectHTTPStatusError

from tasks import approval
from tasks.approval import ApprovePlan, Choice, ask, note_answers, question, suspend, wake
from tasks.ledger import Answer
from tasks.model.decision import Act, Decision, Weighed, Yes
from tasks.plan import Plan, make_plan
from tests.unit.inline import InlineCase, begin, incident, inline_case
from tests.unit.ledgers import Clock, fresh_ledger
from tests.unit.standin import Number, at_most

RUN = str(uuid.uuid4())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[InlineCase]:
    found = inline_case(monkeypatch, run=RUN, incident=incident(), ledger=fresh_ledger(clock))
    yield found
    found.ledger.close()


def plan(case: InlineCase, asks: str = "events are delayed") -> Plan:
    return make_plan(case, ((at_most(Number(3), asks=asks),),))


def notes(case: InlineCase) -> list[str]:
    return [note.kind for note in case.ledger.runs.notes(RUN)]


# ---- asking --------------------------------------------------------------------------------------------------------


def test_a_question_is_asked_once_however_often_the_run_comes_by(case: InlineCase, clock: Clock) -> None:
    first = ask(case, "slow down", plan(case))
    clock.turn(timedelta(minutes=1))
    assert ask(case, "slow down", plan(case)) == first
    assert (first.answer, notes(case)) == (Answer.ASKED, ["asked"])


def test_a_question_that_nobody_answered_in_time_is_not_asked_again_by_the_same_run(
    case: InlineCase, clock: Clock
) -> None:
    ask(case, "slow down", plan(case))
    clock.turn(timedelta(minutes=15))
    assert ask(case, "slow down", plan(case)).answer is Answer.EXPIRED
    assert not case.facts.approved(plan(case).key)


def test_an_approval_expires(case: InlineCase, clock: Clock) -> None:
    key = ask(case, "slow down", plan(case)).key
    case.ledger.approvals.answer(key, approved=True, by="alice")
    clock.turn(timedelta(minutes=14, seconds=59))
    assert case.facts.approved(key)
    clock.turn(timedelta(seconds=1))
    assert not case.facts.approved(key)


def test_an_answer_that_comes_late_changes_nothing(case: InlineCase, clock: Clock) -> None:
    key = ask(case, "slow down", plan(case)).key
    clock.turn(timedelta(minutes=15))
    assert case.ledger.approvals.answer(key, approved=True, by="alice").answer is Answer.EXPIRED
    assert not case.facts.approved(key)


def test_what_is_over_needs_no_answer_any_more(case: InlineCase) -> None:
    assert case.incident is not None
    key = ask(case, "slow down", plan(case)).key
    case.ledger.approvals.answer(key, approved=True, by="alice")
    case.ledger.approvals.withdraw(case.incident.id)
    assert not case.facts.approved(key)


def test_the_question_shows_the_plan_and_nothing_in_it_is_markup(case: InlineCase) -> None:
    because = Weighed("slow down", "Option 2", Yes("<b>900</b> wait", ()))
    case.decisions.append(Decision(Act("too many"), (because,)))
    asked = ask(case, "slow down", plan(case, asks="| events [x](http://evil) are delayed"))
    shown = question(case, "slow down", asked)
    assert f"The plan {asked.key}" in shown
    assert "deployment bus/publishers, replicas: 3 -&gt; 1" in shown
    assert "&lt;b&gt;900&lt;/b&gt; wait" in shown
    assert "\\[x\\](http\\://evil)" in shown
    assert f"runbooks approve {asked.key}" in shown


# ---- waiting -------------------------------------------------------------------------------------------------------


def test_a_suspended_run_holds_nothing_and_is_not_taken_for_dead(
    case: InlineCase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_key: list[str] = []

    def pause(*, wait_for_input: object, timeout: int, key: str) -> None:
        with_key.append(key)
        raise Pause

    monkeypatch.setattr(approval, "suspend_flow_run", pause)
    asked = ask(case, "slow down", plan(case))
    case.hold()
    with pytest.raises(Pause):
        suspend(case, "slow down", asked)
    assert with_key == [asked.key], "an answer is for this key, not for the first question of the run"
    assert case.ledger.locks.all() == []
    clock.turn(timedelta(hours=1))
    assert [run.id for run in case.ledger.runs.suspended()] == [RUN]
    assert case.ledger.runs.silent(timedelta(minutes=5)) == []
    begin(case.ledger, RUN)
    assert case.ledger.runs.suspended() == [], "executed again, it waits for nothing"


# ---- the form ------------------------------------------------------------------------------------------------------


class Form:
    """What people sent with the form of each run, by the key under which Prefect keeps it."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, Any]] = {}

    def read(self, key: str, flow_run_id: uuid.UUID) -> dict[str, Any] | None:
        assert str(flow_run_id) == RUN
        return self.sent.get(key)


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> Form:
    found = Form()
    monkeypatch.setattr(approval, "read_flow_run_input", found.read)
    return found


@pytest.mark.parametrize(
    ("sent", "answer", "by"),
    [
        ({"choice": "approve", "name": "alice"}, Answer.APPROVED, "alice"),
        ({"choice": "approve"}, Answer.APPROVED, "somebody in the UI"),
        ({"choice": "decline", "name": "bob"}, Answer.DECLINED, "bob"),
    ],
)
def test_what_was_answered_in_the_form(
    case: InlineCase, form: Form, sent: dict[str, Any], answer: Answer, by: str
) -> None:
    key = ask(case, "slow down", plan(case)).key
    form.sent[f"suspended-{key}-response"] = sent
    note_answers(case.ledger, RUN)
    found = case.ledger.approvals.get(key)
    assert found is not None
    assert (found.answer, found.answered_by) == (answer, by)


def test_an_answer_in_the_form_is_for_the_plan_that_it_showed(case: InlineCase, form: Form) -> None:
    """Prefect numbers the questions of a flow; a run that is executed again may ask another one first."""
    first = ask(case, "slow down", plan(case)).key
    other = ask(case, "slow down", make_plan(case, ((at_most(Number(3), 0, asks="delays"),),))).key
    form.sent[f"suspended-{first}-response"] = {"choice": "approve"}
    note_answers(case.ledger, RUN)
    assert (case.facts.approved(first), case.facts.approved(other)) == (True, False)


def test_what_was_answered_elsewhere_is_not_answered_again_by_the_form(case: InlineCase, form: Form) -> None:
    """`wake` sends the form along, with what the ledger says already."""
    key = ask(case, "slow down", plan(case)).key
    case.ledger.approvals.answer(key, approved=False, by="alice")
    form.sent[f"suspended-{key}-response"] = {"choice": "approve", "name": "mallory"}
    note_answers(case.ledger, RUN)
    assert not case.facts.approved(key)


def test_an_answer_in_the_form_after_it_expired_approves_nothing(case: InlineCase, form: Form, clock: Clock) -> None:
    key = ask(case, "slow down", plan(case)).key
    form.sent[f"suspended-{key}-response"] = {"choice": "approve"}
    clock.turn(timedelta(minutes=15))
    note_answers(case.ledger, RUN)
    assert not case.facts.approved(key)


def test_the_form_has_no_answer_of_its_own() -> None:
    """Somebody who sends it unread must not have approved anything."""
    with pytest.raises(ValueError, match="choice"):
        ApprovePlan.model_validate({})


# ---- waking --------------------------------------------------------------------------------------------------------


class Server:
    """The Prefect server, when a run is resumed."""

    def __init__(self, status: str, code: int = 200) -> None:
        self.status, self.code = status, code
        self.given: dict[str, Any] = {}

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def resume_flow_run(self, run: uuid.UUID, run_input: dict[str, Any]) -> Any:
        self.given = run_input
        if self.code != 200:
            request = httpx.Request("POST", "http://prefect/api")
            raise PrefectHTTPStatusError("", request=request, response=httpx.Response(self.code, request=request))
        return SimpleNamespace(status=SimpleNamespace(value=self.status))


@pytest.mark.parametrize(
    ("server", "resumed"),
    [(Server("ACCEPT"), True), (Server("ABORT"), False), (Server("REJECT"), False), (Server("", 404), False)],
)
def test_waking_a_run(monkeypatch: pytest.MonkeyPatch, server: Server, resumed: bool) -> None:
    monkeypatch.setattr(approval, "get_client", lambda sync_client: server)
    assert wake(RUN, Choice.APPROVE, "alice") is resumed
    assert server.given == {"choice": "approve", "name": "alice"}


def test_a_server_that_fails_is_no_run_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval, "get_client", lambda sync_client: Server("", 503))
    with pytest.raises(PrefectHTTPStatusError):
        wake(RUN, Choice.APPROVE, "alice")
