"""Incidents in the ledger: folded, claimed once, kept while a run has them in hand, picked up from the dead."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tasks.ledger import Ledger
from tasks.ledger.incidents import ALIVE, Firing, Over
from tasks.model.outcome import Outcome
from tests.contract.ledger.places import START, Place, at_once, incident, run

ALERT = "HighTaskQueueDepth"


def test_an_incident_comes_back_as_it_was_written(ledger: Ledger) -> None:
    raised = incident(labels={"namespace": "bus"}, fingerprint="f1")
    assert ledger.incidents.open(raised) == (raised, True)
    assert ledger.incidents.get(raised.id) == raised
    assert ledger.incidents.latest() == [raised]
    assert ledger.incidents.get("nothing") is None


def test_what_a_database_refuses_is_left_out(ledger: Ledger) -> None:
    raised = incident(alert="High\0Queue", summary="half a pair: \ud800", labels={"pod": "a\0b"})
    ledger.incidents.open(raised)
    found = ledger.incidents.of("prod", "High\0Queue")
    assert found is not None
    assert (found.alert, found.summary, found.labels) == ("HighQueue", "half a pair: ?", {"pod": "a\0b"})
    assert not ledger.incidents.open(raised)[1]


def test_an_incident_is_found_by_the_beginning_of_its_id_when_that_is_enough(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    assert ledger.incidents.get(raised.id[:8]) == raised
    assert ledger.incidents.get("") is None, "nothing is no beginning"


def test_moments_keep_their_meaning_whatever_their_time_zone(ledger: Ledger) -> None:
    tokyo = datetime.fromisoformat("2026-01-01T12:00:00+09:00")
    raised = incident(started_at=tokyo)
    ledger.incidents.open(raised)
    found = ledger.incidents.get(raised.id)
    assert found is not None
    assert found.started_at == tokyo == START
    assert found.started_at.tzinfo is UTC


def test_repeats_are_folded_until_it_is_resolved(ledger: Ledger) -> None:
    first, _ = ledger.incidents.open(incident())
    assert ledger.incidents.open(incident()) == (first, False)
    closed = ledger.incidents.resolve("prod", ALERT, START)
    assert closed is not None
    assert (closed.id, closed.resolved_at) == (first.id, START)
    second, new = ledger.incidents.open(incident())
    assert new
    assert second.id != first.id
    assert ledger.incidents.still_open() == [second]


def test_other_alerts_and_other_sites_are_other_incidents(ledger: Ledger) -> None:
    opened = [ledger.incidents.open(incident(*names)) for names in (("a", "X"), ("a", "Y"), ("b", "X"))]
    assert all(new for _, new in opened)


def test_resolving_what_is_not_open_says_so(ledger: Ledger) -> None:
    assert ledger.incidents.resolve("prod", ALERT, START) is None
    raised, _ = ledger.incidents.open(incident())
    assert ledger.incidents.resolve("other", ALERT, START) is None
    assert ledger.incidents.close(raised.id, START) is not None
    assert ledger.incidents.close(raised.id, START) is None


def test_the_same_incident_twice_is_the_same_even_when_resolved(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    ledger.incidents.resolve("prod", ALERT, START)
    found, new = ledger.incidents.open(raised)
    assert not new
    assert found.id == raised.id


def test_when_it_was_announced_is_kept(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    ledger.incidents.announced(raised.id, START)
    found = ledger.incidents.of("prod", ALERT)
    assert found is not None
    assert found.announced_at == START


# ---- while a run has it in hand ------------------------------------------------------------------------------------


def _in_hand(ledger: Ledger) -> str:
    raised, _ = ledger.incidents.open(incident())
    ledger.runs.begin(run("run-1", incident=raised.id))
    assert ledger.incidents.claim(raised.id, "run-1")
    return raised.id


def test_what_a_run_has_in_hand_is_only_noted_as_quiet(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    quiet = ledger.incidents.resolve("prod", ALERT, START)
    assert quiet is not None
    assert (quiet.id, quiet.quiet_at, quiet.resolved_at) == (id, START, None)
    flapped, new = ledger.incidents.open(incident())
    assert (flapped.id, flapped.quiet_at, new) == (id, None, False)


def test_after_the_run_a_quiet_incident_makes_room(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    ledger.incidents.resolve("prod", ALERT, START)
    ledger.runs.end("run-1", Outcome.RECOVERED, "", {})
    second, new = ledger.incidents.open(incident())
    assert new
    assert second.id != id
    first = ledger.incidents.get(id)
    assert first is not None
    assert first.resolved_at == START


def test_a_run_that_gives_no_sign_of_life_has_nothing_in_hand(place: Place, ledger: Ledger) -> None:
    _in_hand(ledger)
    place.turn(ALIVE + timedelta(seconds=1))
    closed = ledger.incidents.resolve("prod", ALERT, START)
    assert closed is not None
    assert closed.resolved_at == START


def test_a_run_that_beats_or_waits_for_a_person_keeps_it(place: Place, ledger: Ledger) -> None:
    _in_hand(ledger)
    place.turn(ALIVE - timedelta(seconds=10))
    ledger.runs.beat("run-1")
    place.turn(ALIVE - timedelta(seconds=10))
    for wait in (None, "a plan"):
        ledger.runs.wait("run-1", wait)
        quiet = ledger.incidents.resolve("prod", ALERT, START)
        assert quiet is not None
        assert quiet.resolved_at is None
        place.turn(timedelta(hours=2))


# ---- claimed, taken, picked up -------------------------------------------------------------------------------------


def test_nobody_can_claim_what_is_not_there(ledger: Ledger) -> None:
    assert not ledger.incidents.claim("nothing", "run-1")


def test_a_person_takes_an_incident_and_hands_it_back(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    taken = ledger.incidents.take(raised.id, "ada")
    assert taken is not None
    assert taken.taken_by == "ada"
    assert taken.taken_at is not None
    assert abs(taken.taken_at - ledger.now()) < timedelta(seconds=10)
    back = ledger.incidents.hand_back(raised.id)
    assert back is not None
    assert (back.taken_by, back.taken_at) == (None, None)
    ledger.incidents.close(raised.id, START)
    assert ledger.incidents.take(raised.id, "ada") is None
    assert ledger.incidents.hand_back(raised.id) is None


def test_an_incident_is_picked_up_from_a_dead_run_once(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    assert not ledger.incidents.pick_up(id, "another run")
    assert ledger.incidents.pick_up(id, "run-1")
    assert not ledger.incidents.pick_up(id, "run-1")
    found, dead = ledger.incidents.get(id), ledger.runs.get("run-1")
    assert found is not None
    assert (found.claimed_by, found.pickups) == (None, 1)
    assert dead is not None
    assert dead.crashed
    assert dead.ended_at is not None


def test_a_run_that_ended_did_not_crash(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    ledger.runs.end("run-1", Outcome.NOT_RECOVERED, "1 of 3", {})
    assert ledger.incidents.pick_up(id, "run-1")
    ended = ledger.runs.get("run-1")
    assert ended is not None
    assert not ended.crashed


def test_what_is_resolved_is_not_picked_up(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    ledger.incidents.close(id, START)
    assert not ledger.incidents.pick_up(id, "run-1")


# ---- many at once --------------------------------------------------------------------------------------------------


def test_a_storm_makes_one_incident(ledger: Ledger) -> None:
    opened = at_once(16, lambda number: ledger.incidents.open(incident()))
    assert sum(new for _, new in opened) == 1
    assert len({found.id for found, _ in opened}) == 1
    assert len(ledger.incidents.latest()) == 1


def test_a_storm_of_firing_and_resolving_leaves_at_most_one_open(ledger: Ledger) -> None:
    def one(number: int) -> None:
        for _ in range(5):
            if number % 2:
                ledger.incidents.resolve("prod", ALERT, datetime.now(UTC))
            else:
                ledger.incidents.open(incident())

    at_once(8, one)
    assert len(ledger.incidents.still_open()) <= 1


def test_a_claim_is_won_by_exactly_one_of_many_threads(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    won = at_once(16, lambda number: ledger.incidents.claim(raised.id, f"run-{number}"))
    assert sum(won) == 1
    found = ledger.incidents.get(raised.id)
    assert found is not None
    assert found.claimed_by == f"run-{won.index(True)}"
    assert ledger.incidents.claim(raised.id, found.claimed_by or ""), "the same run may ask again"


def test_a_claim_is_won_by_exactly_one_of_many_hosts(place: Place, ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())

    def claim(number: int) -> bool:
        with closing(place.open()) as own:
            return own.incidents.claim(raised.id, f"run-{number}")

    assert sum(at_once(8, claim)) == 1


def test_only_one_of_many_picks_up(ledger: Ledger) -> None:
    id = _in_hand(ledger)
    assert sum(at_once(8, lambda _: ledger.incidents.pick_up(id, "run-1"))) == 1


# ---- many reports at once --------------------------------------------------------------------------------------------


def firing(site: str = "prod", alert: str = ALERT, **other: object) -> Firing:
    return Firing(site, alert, lambda: incident(site, alert, **other))


def test_reports_are_answered_in_their_order(ledger: Ledger) -> None:
    old, _ = ledger.incidents.open(incident("b", fingerprint="f1"))
    reports: list[Firing | Over] = [
        firing("c"),
        Over("b", ALERT, "f1", START),
        firing("a"),
        firing("c"),
        Over("z", ALERT, "", START),
    ]
    c, b, a, again, nobody = ledger.incidents.receive(reports)
    assert (c.new, a.new, again.new) == (True, True, False)
    assert c.incident == again.incident
    assert b.incident is not None
    assert (b.incident.id, b.incident.resolved_at) == (old.id, START)
    assert nobody.incident is None


def test_of_two_reports_about_one_alert_the_one_that_is_on_counts(ledger: Ledger) -> None:
    old, _ = ledger.incidents.open(incident())
    on, over = ledger.incidents.receive([firing(), Over("prod", ALERT, "", START)])
    assert on.new
    assert over.incident is not None
    assert over.incident.id == old.id
    assert ledger.incidents.still_open() == [on.incident]


def test_another_alert_of_the_same_name_that_is_over_closes_nothing(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident(fingerprint="f1"))
    (other,) = ledger.incidents.receive([Over("prod", ALERT, "f2", START)])
    assert (other.incident, other.another) == (raised, True)
    assert ledger.incidents.still_open() == [raised]


def test_an_incident_that_flapped_under_a_run_s_hands_is_the_later_alert_s(ledger: Ledger) -> None:
    """Two alerts of one name: the one that opened it is over, the other one goes on, and ends after the run."""
    first, second = incident(fingerprint="a"), incident(fingerprint="b")

    def over(fingerprint: str) -> None:
        ledger.incidents.receive([Over("prod", ALERT, fingerprint, START)])

    ledger.incidents.open(first)
    ledger.runs.begin(run("run-1", incident=first.id))
    ledger.incidents.claim(first.id, "run-1")
    ledger.incidents.receive([Firing("prod", ALERT, lambda: second)])
    over("a")
    ledger.incidents.receive([Firing("prod", ALERT, lambda: second)])
    ledger.runs.end("run-1", Outcome.NOT_RECOVERED, "", None)
    over("a")
    assert ledger.incidents.of("prod", ALERT) is not None, "the other one is on"
    over("b")
    assert ledger.incidents.of("prod", ALERT) is None, "and now none is"


def test_no_incident_is_made_of_a_repeat(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())

    def never() -> object:
        raise AssertionError("nearly all reports are repeats: they must cost nothing")

    (folded,) = ledger.incidents.receive([Firing("prod", ALERT, never)])  # type: ignore[arg-type]
    assert (folded.incident, folded.new) == (raised, False)


def test_all_reports_are_kept_or_none(ledger: Ledger) -> None:
    def breaks() -> object:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        ledger.incidents.receive([firing("a"), Firing("b", ALERT, breaks)])  # type: ignore[arg-type]
    assert ledger.incidents.still_open() == []


def test_many_intakes_receive_the_same_storm(place: Place) -> None:
    """In different orders, as it comes: nobody waits for the other for ever, and each incident is opened once."""

    def intake(number: int) -> int:
        with closing(place.open()) as ledger:
            sites = [f"site-{n}" for n in range(20)]
            storm = [firing(site) for site in (sites if number % 2 else reversed(sites))]
            return sum(one.new for one in ledger.incidents.receive(storm))

    assert sum(at_once(4, intake)) == 20


# ---- announcing ------------------------------------------------------------------------------------------------------


def test_each_incident_is_announced_by_one(place: Place, ledger: Ledger) -> None:
    opened = {ledger.incidents.open(incident(f"site-{n}"))[0].id for n in range(12)}

    def announcer(_: int) -> list[str]:
        with closing(place.open()) as mine:
            taken: list[str] = []
            while some := mine.incidents.take_unannounced(3):
                taken += [one.id for one in some]
            return taken

    taken = [id for ids in at_once(4, announcer) for id in ids]
    assert sorted(taken) == sorted(opened)


def test_what_could_not_be_sent_is_taken_again(ledger: Ledger) -> None:
    raised, _ = ledger.incidents.open(incident())
    taken = ledger.incidents.take_unannounced(10)
    assert [one.id for one in taken] == [raised.id]
    assert ledger.incidents.take_unannounced(10) == []
    ledger.incidents.not_announced(taken)
    assert [one.id for one in ledger.incidents.take_unannounced(10)] == [raised.id]
    ledger.incidents.not_announced(taken)
    assert ledger.incidents.take_unannounced(10) == [], "the later attempt is another one's"


def test_what_somebody_has_or_what_is_over_is_not_announced(ledger: Ledger) -> None:
    claimed, taken, over = (ledger.incidents.open(incident(alert=alert))[0] for alert in ("A", "B", "C"))
    ledger.incidents.claim(claimed.id, "run-1")
    ledger.incidents.take(taken.id, "ada")
    ledger.incidents.close(over.id, START)
    assert ledger.incidents.take_unannounced(10) == []
