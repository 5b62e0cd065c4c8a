"""Runs in the ledger: begun once, alive or silent, with all that they saw and noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tasks.ledger import Evidence, Ledger
from tasks.ledger.runs import LONGEST
from tasks.model.outcome import Outcome, Severity
from tests.contract.ledger.places import START, Place, at_once, run

SECRET = "hunter2-and-more"  # noqa: S105 - not one
MINUTE = timedelta(minutes=1)


def test_a_run_comes_back_as_it_was_written(ledger: Ledger) -> None:
    begun = run(incident="i-1", severity=Severity.CRITICAL)
    ledger.runs.begin(begun)
    found = ledger.runs.get("run-1")
    assert found is not None
    assert found.seen_at is not None
    assert abs(found.seen_at - ledger.now()) < timedelta(seconds=10)
    assert replace(found, seen_at=None) == begun
    assert ledger.runs.latest() == [found]


def test_a_second_attempt_goes_on_with_the_record_of_the_first(ledger: Ledger) -> None:
    ledger.runs.begin(run())
    ledger.runs.end("run-1", Outcome.NOT_RECOVERED, "1 of 3", {"at": START, "values": (1, 2)})
    ledger.runs.begin(run())
    found = ledger.runs.get("run-1")
    assert found is not None
    assert (found.outcome, found.verdict) == (Outcome.NOT_RECOVERED, "1 of 3")
    assert found.report == {"at": str(START), "values": [1, 2]}
    assert found.ended_at is not None
    assert len(ledger.runs.latest()) == 1


def test_a_report_may_hold_what_is_no_number(ledger: Ledger) -> None:
    ledger.runs.begin(run())
    ledger.runs.end("run-1", Outcome.OBSERVED, "", {"ratio": float("nan"), "most": [float("inf")], "log": "a\0b"})
    found = ledger.runs.get("run-1")
    assert found is not None
    assert found.report == {"ratio": "NaN", "most": ["Infinity"], "log": "a\0b"}


def test_a_run_is_found_by_the_beginning_of_its_id_when_that_is_enough(ledger: Ledger) -> None:
    for id in ("abc-1", "abc-2", "x_1", "xy1", "xy12"):
        ledger.runs.begin(run(id))
    assert ledger.runs.get("abc") is None
    found = ledger.runs.get("x_")
    assert found is not None
    assert found.id == "x_1", "an underscore is no wildcard"
    assert ledger.runs.get("%") is None
    found = ledger.runs.get("xy1")
    assert found is not None
    assert found.id == "xy1", "the whole id is enough, whatever begins with it"


def test_many_runs_begin_at_once(ledger: Ledger) -> None:
    at_once(16, lambda number: ledger.runs.begin(run(f"run-{number % 8}")))
    assert len(ledger.runs.latest(limit=100)) == 8


# ---- alive or not --------------------------------------------------------------------------------------------------


def _silent(ledger: Ledger) -> list[str]:
    return [found.id for found in ledger.runs.silent(MINUTE)]


def test_a_run_that_gives_no_sign_of_life_is_silent(place: Place, ledger: Ledger) -> None:
    for id in ("beats", "silent", "waits", "ended"):
        ledger.runs.begin(run(id))
    ledger.runs.wait("waits", "a plan")
    ledger.runs.end("ended", Outcome.OBSERVED, "", {})
    assert _silent(ledger) == []
    place.turn(MINUTE + timedelta(seconds=1))
    ledger.runs.beat("beats")
    assert _silent(ledger) == ["silent"]
    ledger.runs.wait("waits", None)
    assert _silent(ledger) == ["silent", "waits"]


def test_who_waits_and_who_is_at_work_is_known(ledger: Ledger) -> None:
    for id in ("waits", "works", "ended"):
        ledger.runs.begin(run(id))
    ledger.runs.wait("waits", "a plan")
    ledger.runs.end("ended", Outcome.OBSERVED, "", {})
    assert [found.id for found in ledger.runs.suspended()] == ["waits"]
    assert ledger.runs.sites_of("high_task_queue_depth") == {"prod"}
    assert ledger.runs.sites_of("restore") == frozenset()


def test_a_run_that_goes_on_waits_no_more_and_lives(place: Place, ledger: Ledger) -> None:
    ledger.runs.begin(run())
    ledger.runs.wait("run-1", "a plan")
    found = ledger.runs.get("run-1")
    assert found is not None
    assert found.waits_for == "a plan"
    place.turn(timedelta(hours=1))
    ledger.runs.begin(run())
    assert _silent(ledger) == []
    found = ledger.runs.get("run-1")
    assert found is not None
    assert found.waits_for is None


def test_a_run_that_was_taken_for_dead_lives_again_when_it_goes_on(place: Place, ledger: Ledger) -> None:
    ledger.runs.begin(run())
    assert ledger.runs.crashed("run-1")
    assert not ledger.runs.crashed("run-1")
    dead = ledger.runs.get("run-1")
    assert dead is not None
    assert dead.crashed
    assert dead.ended_at is not None
    ledger.runs.begin(run())
    place.turn(MINUTE + timedelta(seconds=1))
    assert _silent(ledger) == ["run-1"], "it is watched again"
    ledger.runs.end("run-1", Outcome.RECOVERED, "", {})
    found = ledger.runs.get("run-1")
    assert found is not None
    assert not found.crashed


# ---- what it saw and noted -----------------------------------------------------------------------------------------


def test_notes_keep_their_order_and_their_run(ledger: Ledger) -> None:
    written = [ledger.runs.note(id, "saw", f"of {id}, {number}") for number, id in enumerate(("a", "b", "a"))]
    assert ledger.runs.notes("a") == [written[0], written[2]]
    assert ledger.runs.notes("b") == [written[1]]


def test_a_note_is_returned_as_it_is_kept(ledger: Ledger) -> None:
    note = ledger.runs.note("run-1", "failed", f"password={SECRET}\0")
    assert note.text == "password=***"
    assert ledger.runs.notes("run-1") == [note]


def _reading(**other: object) -> Evidence:
    seen = Evidence("run-1", 1, "queue depth", "850", "prometheus", 1.5, START)
    return replace(seen, **other)  # type: ignore[arg-type]


def test_evidence_comes_back_as_it_was_seen(ledger: Ledger) -> None:
    seen = [_reading(), _reading(round=2, name="pods", value="2 of 2")]
    ledger.runs.saw("run-1", seen)
    ledger.runs.saw("run-2", [])
    assert ledger.runs.evidence("run-1") == seen
    assert ledger.runs.evidence("run-2") == []


def test_long_evidence_is_cut_after_its_secrets_are_gone(ledger: Ledger) -> None:
    """Cut first, the beginning of a secret would be kept when its end is what gives it away."""
    log = "x" * (LONGEST - 30) + f" postgres://user:{SECRET}@db/x" + "y" * 100
    ledger.runs.saw("run-1", [_reading(value=log)])
    (kept,) = ledger.runs.evidence("run-1")
    assert len(kept.value) == LONGEST
    assert SECRET[:5] not in kept.value
