"""Claims: what follows from baseline and open claims, and undoing after a failed gate what did not help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tasks import failpoint
from tasks.claims import Claiming, Releasing
from tasks.giving_back import give_back, undo
from tasks.ledger import ChangeState, ClaimState
from tasks.mitigate import mitigate
from tasks.model.change import Effect, NotInEffect, Purpose
from tasks.model.claim import Bound, Claim, settle
from tasks.model.decision import Weighed, Yes
from tasks.model.outcome import Severity
from tests.unit.inline import InlineCase, begin, inline_case, without_prefect
from tests.unit.makings import claims, kinds
from tests.unit.standin import CRITICAL, SUBJECT, VALUE, Number, Turning, at_least, at_most, fails, standin

AT_LEAST, AT_MOST = Bound
SCALE, SLOW = "scale out", "slow down"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineCase]:
    """A run at a site with two numbers."""
    platform = standin()
    platform.numbers.update(orchestration=Number(2), publishers=Number(3))
    case = inline_case(monkeypatch, platform=platform)
    yield case
    case.ledger.close()


def numbers(case: InlineCase) -> dict[str, Number]:
    found: dict[str, Number] = case.platform.numbers
    return found


def do(case: InlineCase, option: str, *changes: Claiming) -> None:
    """The run takes an option."""
    mitigate(case, Weighed(option, option, Yes("needed", (changes,))))


def scale(case: InlineCase, value: int = 5) -> None:
    do(case, SCALE, at_least(numbers(case)["orchestration"], value))


# ---- numbers -------------------------------------------------------------------------------------------------------

# baseline, claims -> the value
SETTLED: list[tuple[int, tuple[Claim, ...], int]] = [
    (2, (), 2),
    (2, (Claim(AT_LEAST, 5),), 5),
    (7, (Claim(AT_LEAST, 5),), 7),
    (3, (Claim(AT_MOST, 1),), 1),
    (1, (Claim(AT_MOST, 3),), 1),
    (2, (Claim(AT_LEAST, 5), Claim(AT_LEAST, 10)), 10),
    (2, (Claim(AT_LEAST, 10), Claim(AT_LEAST, 5)), 10),
    (3, (Claim(AT_LEAST, 5), Claim(AT_MOST, 4)), 4),
    (3, (Claim(AT_MOST, 0), Claim(AT_LEAST, 5)), 0),
]


@pytest.mark.parametrize(("baseline", "made", "value"), SETTLED)
def test_what_follows_from_baseline_and_claims(baseline: int, made: tuple[Claim, ...], value: int) -> None:
    assert settle(baseline, made) == value


def test_a_claim_says_what_it_would_write_and_checks_what_came_of_it() -> None:
    number = Number(2)
    change = at_least(number, 5)
    diff = change.diff()
    assert (str(diff), dict(diff.amounts), diff.draft and diff.draft.claim) == (
        "2 -> 5",
        {"replicas": 5},
        Claim(AT_LEAST, 5),
    )
    change.apply(diff)
    assert change.verify(timedelta(0)) == "reads 5"
    number.set(9)
    assert change.verify(timedelta(0)) == "reads 9", "more than was claimed counts too"
    number.set(4)
    with pytest.raises(NotInEffect, match="is 4, not at least 5"):
        change.verify(timedelta(0))


def releasing(before: int, baseline: int, *remaining: Claim, number: Number | None = None) -> Releasing:
    knob = Turning(number or Number(before))
    return Releasing(knob, {VALUE: before}, {VALUE: baseline}, remaining, "given back")


def test_a_release_leaves_what_the_others_claim() -> None:
    assert str(releasing(10, 2, Claim(AT_LEAST, 5)).diff()) == "10 -> 5"
    assert str(releasing(10, 2).diff()) == "10 -> 2"
    assert str(releasing(5, 2, Claim(AT_LEAST, 5)).diff()) == "already 5"
    assert releasing(5, 2).diff().draft is not None


@pytest.mark.parametrize(("before", "baseline", "effect"), [(5, 2, Effect.DISRUPTIVE), (1, 3, Effect.REVERSIBLE)])
def test_how_much_a_release_hurts_depends_on_its_direction(before: int, baseline: int, effect: Effect) -> None:
    assert releasing(before, baseline, number=Number(before, lowering=Effect.DISRUPTIVE)).effect is effect


# ---- undoing -------------------------------------------------------------------------------------------------------


def test_what_did_not_help_is_undone(site: InlineCase) -> None:
    scale(site)
    site.useless.append(SCALE)
    undo(site)
    assert numbers(site)["orchestration"].writes == [5, 2]
    assert claims(site) == [("at least 5", ClaimState.RELEASED)]
    assert site.ledger.claims.holdings("prod") == []
    assert [(c.purpose, c.state) for c in site.ledger.changes.of_run("run-1")] == [
        (Purpose.CHANGE, ChangeState.IN_EFFECT),
        (Purpose.UNDO, ChangeState.IN_EFFECT),
    ]
    assert kinds(site)[-1] == "undone"


def test_what_helped_or_was_not_judged_is_kept(site: InlineCase) -> None:
    scale(site)
    do(site, SLOW, at_most(numbers(site)["publishers"]))
    site.useless.append(SCALE)
    undo(site)
    assert (numbers(site)["orchestration"].value, numbers(site)["publishers"].value) == (2, 1)
    assert claims(site) == [("at least 5", ClaimState.RELEASED), ("at most 1", ClaimState.OPEN)]


def test_what_came_last_is_undone_first(site: InlineCase) -> None:
    """Else what the first undoing sets in motion, e.g. pods that go, is in the way of the next one."""
    scale(site)
    do(site, SLOW, at_most(numbers(site)["publishers"]))
    site.useless.extend([SCALE, SLOW])
    undo(site)
    undone = [c.target.name for c in site.ledger.changes.of_run("run-1") if c.purpose is Purpose.UNDO]
    assert undone == ["publishers", "orchestration"]


def test_undoing_that_would_disturb_somebody_is_left(site: InlineCase) -> None:
    """Fewer pods, where a pod that goes may take its work with it."""
    numbers(site)["orchestration"].lowering = Effect.DISRUPTIVE
    scale(site)
    site.useless.append(SCALE)
    undo(site)
    assert numbers(site)["orchestration"].writes == [5]
    assert claims(site) == [("at least 5", ClaimState.OPEN)], "it is given back later"
    assert kinds(site)[-1] == "kept"


def test_undoing_a_ceiling_raises_and_disturbs_nobody(site: InlineCase) -> None:
    numbers(site)["publishers"].lowering = Effect.DISRUPTIVE
    do(site, SLOW, at_most(numbers(site)["publishers"]))
    site.useless.append(SLOW)
    undo(site)
    assert numbers(site)["publishers"].writes == [1, 3]


def test_what_somebody_else_changed_meanwhile_is_left_to_them(site: InlineCase) -> None:
    scale(site)
    numbers(site)["orchestration"].set(8)
    site.useless.append(SCALE)
    undo(site)
    assert (numbers(site)["orchestration"].value, numbers(site)["orchestration"].writes) == (8, [5])
    assert claims(site) == [("at least 5", ClaimState.LEFT)]
    assert site.ledger.claims.holdings("prod") == []
    assert kinds(site)[-2:] == ["refused", "kept"]


def test_the_floor_of_another_run_stays_when_ours_is_undone(site: InlineCase, monkeypatch: pytest.MonkeyPatch) -> None:
    scale(site, 10)
    site.let_go()
    other = inline_case(monkeypatch, platform=site.platform, ledger=site.ledger, run="run-2", runbook=CRITICAL)
    do(other, SCALE, at_least(numbers(site)["orchestration"], 12))
    other.let_go()
    site.useless.append(SCALE)
    undo(site)
    assert numbers(site)["orchestration"].value == 12
    assert claims(site) == [("at least 10", ClaimState.RELEASED)]
    (holding,) = site.ledger.claims.holdings("prod")
    assert (holding.baseline, [str(claim.claim) for claim in holding.claims]) == ({VALUE: 2}, ["at least 12"])


def test_what_another_run_did_under_the_same_option_is_not_ours_to_undo(
    site: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(site)
    site.let_go()
    begin(site.ledger, "run-2")
    other = inline_case(monkeypatch, platform=site.platform, ledger=site.ledger, run="run-2")
    other.useless.append(SCALE)
    undo(other)
    assert numbers(site)["orchestration"].value == 5


def test_a_paused_site_is_not_undone_either(site: InlineCase) -> None:
    scale(site)
    site.useless.append(SCALE)
    site.ledger.pauses.pause("prod", "deploy", "alice")
    undo(site)
    assert (numbers(site)["orchestration"].writes, claims(site)) == ([5], [("at least 5", ClaimState.OPEN)])


def test_a_run_that_lost_the_target_does_not_undo(site: InlineCase) -> None:
    scale(site)
    site.useless.append(SCALE)
    site.ledger.locks.acquire("run-2", CRITICAL.id, Severity.CRITICAL, "prod", [SUBJECT])
    undo(site)
    assert (numbers(site)["orchestration"].writes, claims(site)) == ([5], [("at least 5", ClaimState.OPEN)])


def test_one_that_cannot_be_undone_keeps_no_other_from_it(site: InlineCase) -> None:
    scale(site)
    do(site, SLOW, at_most(numbers(site)["publishers"]))
    site.useless.extend([SCALE, SLOW])
    numbers(site)["orchestration"].on_read = [fails(PermissionError("may not be read"))]
    undo(site)
    assert (numbers(site)["orchestration"].value, numbers(site)["publishers"].value) == (5, 3)
    assert claims(site) == [("at least 5", ClaimState.OPEN), ("at most 1", ClaimState.RELEASED)]


def test_a_number_that_the_platform_does_not_know_any_more_keeps_no_other_from_being_undone(site: InlineCase) -> None:
    scale(site)
    do(site, SLOW, at_most(numbers(site)["publishers"]))
    site.useless.extend([SCALE, SLOW])
    del numbers(site)["orchestration"]
    undo(site)
    assert numbers(site)["publishers"].value == 3
    assert [state for _, state in claims(site)] == [ClaimState.OPEN, ClaimState.RELEASED]


# ---- giving back ---------------------------------------------------------------------------------------------------


def test_a_claim_whose_value_is_there_without_it_ends_unwritten(site: InlineCase) -> None:
    """Somebody put it back by hand."""
    scale(site)
    numbers(site)["orchestration"].set(2)
    (holding,) = site.ledger.claims.holdings("prod")
    given = give_back(site, holding, holding.claims, {}, Purpose.RESTORE)
    assert given.done
    assert numbers(site)["orchestration"].writes == [5]
    assert claims(site) == [("at least 5", ClaimState.RELEASED)]


def test_a_value_that_may_or_may_not_have_arrived_is_ours_either_way(site: InlineCase) -> None:
    """The run was killed between intent and result."""
    change = at_least(numbers(site)["orchestration"])
    site.hold()
    site.intend(SCALE, change, change.diff(), Purpose.CHANGE, None)
    numbers(site)["orchestration"].set(5)
    (holding,) = site.ledger.claims.holdings("prod")
    assert give_back(site, holding, holding.claims, {}, Purpose.RESTORE).done
    assert numbers(site)["orchestration"].value == 2
    assert claims(site) == [("at least 5", ClaimState.RELEASED)]


def test_killed_after_the_write_and_before_the_claim_ended_it_is_ended_by_the_next_look(
    site: InlineCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As `kill -9`: nobody handles it."""

    def kill(point: str) -> None:
        if point == "verified":
            raise Killed

    scale(site)
    (holding,) = site.ledger.claims.holdings("prod")
    monkeypatch.setattr(failpoint, "reach", kill)
    with pytest.raises(Killed):
        give_back(site, holding, holding.claims, {}, Purpose.RESTORE)
    monkeypatch.undo()
    without_prefect(monkeypatch)
    assert claims(site) == [("at least 5", ClaimState.OPEN)]
    (holding,) = site.ledger.claims.holdings("prod")
    assert give_back(site, holding, holding.claims, {}, Purpose.RESTORE).done
    assert numbers(site)["orchestration"].writes == [5, 2], "written once"
    assert claims(site) == [("at least 5", ClaimState.RELEASED)]
