"""Diagnose: side by side; what may go away by itself is tried again; what cannot be had is unknown, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from kubernetes.client.exceptions import ApiException
from prefect.states import Failed, Running

from tasks import case as engine
from tasks.case import try_again
from tasks.diagnose import RETRIES, diagnose
from tasks.model.evidence import Probe, Reading, Unknown
from tasks.runbook import AnyRunbook, Look
from tests.unit.inline import Done, InlineCase, inline_case
from tests.unit.standin import HIGH, Standin

TRANSIENT = httpx.ConnectError("connection refused")
PERMANENT = ApiException(status=403, reason="Forbidden")


@dataclass
class Source:
    """Something that is read: what goes wrong first, and how often it was asked."""

    value: Any = 5
    troubles: list[Exception] = field(default_factory=list)
    asked: int = 0
    lag: float = 2

    def read(self) -> Reading[Any]:
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return Reading(self.value, "a test", lag=timedelta(seconds=self.lag))


def runbook(*probes: Probe[Any]) -> AnyRunbook:
    """Its evidence is these readings, in this order."""

    def evidence(look: Look, site: Standin) -> Any:
        return [look(probe) for probe in probes]

    return replace(HIGH, evidence=evidence)


def case(monkeypatch: pytest.MonkeyPatch, *sources: Source, deadline: float = 15) -> InlineCase:
    wait = timedelta(seconds=deadline)
    return inline_case(
        monkeypatch, runbook=runbook(*(Probe(f"probe {n}", one.read, wait) for n, one in enumerate(sources)))
    )


def test_readings_come_in_the_order_in_which_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert diagnose(case(monkeypatch, Source(1), Source(2), Source(3))) == [1, 2, 3]


def test_what_may_go_away_by_itself_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(troubles=[TRANSIENT] * RETRIES)
    assert diagnose(case(monkeypatch, source)) == [5]
    assert source.asked == RETRIES + 1


def test_in_the_end_it_is_unknown_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Source(troubles=[TRANSIENT] * 9)
    found = diagnose(case(monkeypatch, gone, Source(2)))
    assert found == [Unknown("the server cannot be reached: connection refused"), 2]
    assert gone.asked == RETRIES + 1


@pytest.mark.parametrize("error", [PERMANENT, ValueError("not a number"), ApiException(status=404, reason="Not Found")])
def test_what_will_not_go_away_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    source = Source(troubles=[error])
    (found,) = diagnose(case(monkeypatch, source))
    assert isinstance(found, Unknown)
    assert source.asked == 1


def test_what_says_how_things_were_some_minutes_ago_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    (found, other) = diagnose(case(monkeypatch, Source(lag=61), Source(lag=60)))
    assert found == Unknown("its newest sample is 61 s old, more than 60 s")
    assert other == 5


def test_after_its_deadline_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(troubles=[TRANSIENT])
    (found,) = diagnose(case(monkeypatch, source, deadline=0))
    assert isinstance(found, Unknown)
    assert source.asked == 1


def test_what_was_seen_is_evidence_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    run = case(monkeypatch, Source("token=hunter2"), Source(troubles=[ValueError("password=hunter2 is wrong")]))
    diagnose(run)
    kept = run.ledger.runs.evidence("run-1")
    assert [(one.round, one.name, one.value) for one in kept] == [
        (1, "probe 0", "token=***"),
        (1, "probe 1", "unknown: password=*** is wrong"),
    ]
    assert (kept[0].source, kept[0].lag) == ("a test", 2)
    assert [note.text for note in run.ledger.runs.notes("run-1")] == [
        "probe 0: token=***",
        "probe 1: unknown: password=*** is wrong",
    ]
    diagnose(run)
    assert [one.round for one in run.ledger.runs.evidence("run-1")] == [1, 1, 2, 2]


def test_all_are_started_before_one_is_waited_for_and_none_longer_than_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    class Later(Done):
        def __init__(self, title: str) -> None:
            super().__init__(Running())
            self.title = title

        def wait(self, timeout: float | None = None) -> None:
            assert timeout is not None
            assert timeout <= 7
            told.append(f"wait {self.title}")

    class Slow(InlineCase):
        def start(self, stage: str, title: str, work: Callable[[], Any], *, retries: int = 0) -> Any:
            told.append(f"start {title}")
            return Later(title)

    run = case(monkeypatch, Source(), Source(), deadline=7)
    run.__class__ = Slow
    assert diagnose(run) == [Unknown("no answer within 7 s"), Unknown("no answer within 7 s")]
    assert told == [f"{did} diagnose: probe {number}" for did in ("start", "wait") for number in (0, 1)]


def test_a_piece_of_work_is_repeated_only_when_it_asks_for_that_and_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Prefect is told."""
    told: dict[str, Any] = {}

    class Task:
        def __init__(self, work: object, **options: Any) -> None:
            told.update(options)

        def submit(self, wait_for: object) -> None:
            """Nothing is done."""

    monkeypatch.setattr(engine, "Task", Task)
    run = inline_case(monkeypatch)
    engine.Case.start(run, "diagnose", "diagnose: redis, password=hunter2", lambda: None, retries=2)
    assert told["task_run_name"] == "diagnose: redis, password=***"
    assert told["persist_result"] is False, "no evidence in persisted results"
    delays = told["retry_delay_seconds"](4)
    assert delays == sorted(set(delays)), "each is longer than the one before"
    assert told["retry_jitter_factor"] > 0
    assert told["retries"] >= 2
    asks = told["retry_condition_fn"]
    assert asks(None, None, try_again("refused", 1, 1))
    assert not asks(None, None, Failed(name="Unknown"))
    assert not asks(None, None, Failed())
