"""Whatever order claims are made and given back in, and whatever dies in between: the baseline is what is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from enum import Enum
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ledger import ClaimState, Ledger
from tasks.model.change import Purpose
from tasks.model.claim import settle
from tests.contract.ledger.places import at_least, intend, replicas
from tests.wishes import ORCHESTRATION

BASELINE = 2
RUNS = ("a", "b", "c")


class End(Enum):
    """What becomes of a write after its intent."""

    CONFIRMED = "it arrives, and is confirmed"
    UNCONFIRMED = "it arrives, and the run dies"
    REFUSED = "the target says no"
    LOST = "the run dies before it"

    @property
    def arrives(self) -> bool:
        return self in (End.CONFIRMED, End.UNCONFIRMED)


class World:
    """One field of one target, runs that claim it, and the ledger."""

    def __init__(self, ledger: Ledger, site: str) -> None:
        self.ledger = ledger
        self.site = site
        self.live = BASELINE

    def write(self, run: str, after: int, end: End, value: int | None, purpose: Purpose) -> None:
        diff = replicas(self.live, after, None if value is None else at_least(value))
        number = intend(self.ledger, diff, f"{self.site}-{run}", site=self.site, purpose=purpose)
        if end.arrives:
            self.live = after
        if end is End.CONFIRMED:
            self.ledger.claims.confirm(number)
        if end is End.REFUSED:
            self.ledger.claims.withdraw(number)

    def claim(self, run: str, value: int, end: End) -> None:
        if value > self.live:
            self.write(run, value, end, value, Purpose.CHANGE)

    def give_back(self, run: str, end: End) -> None:
        """As a restore does it: the value that the remaining claims leave is written, then the claims end."""
        holding = self.ledger.claims.holding(self.site, ORCHESTRATION, "replicas")
        if holding is None:
            return
        assert holding.baseline == {"replicas": BASELINE}
        assert self.ledger.claims.ours(self.site, ORCHESTRATION, "replicas", {"replicas": self.live})
        ending = [claim for claim in holding.claims if claim.run == f"{self.site}-{run}"]
        remaining = [claim.claim for claim in holding.claims if claim not in ending]
        after = settle(BASELINE, remaining)
        if after != self.live:
            self.write("restore", after, end, None, Purpose.RESTORE)
        if after == self.live and end is End.CONFIRMED:
            self.ledger.claims.end([claim.id for claim in ending], ClaimState.RELEASED, "")


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with closing(Ledger("sqlite://")) as found:
        yield found


_sites = count()
_steps = st.lists(
    st.tuples(st.sampled_from(RUNS), st.one_of(st.none(), st.integers(3, 12)), st.sampled_from(End)), max_size=10
)


@given(steps=_steps)
def test_the_baseline_is_what_is_left(ledger: Ledger, steps: list[tuple[str, int | None, End]]) -> None:
    world = World(ledger, f"site-{next(_sites)}")
    for run, value, end in steps:
        if value is None:
            world.give_back(run, end)
        else:
            world.claim(run, value, end)
    for run in RUNS:
        world.give_back(run, End.CONFIRMED)
    assert world.live == BASELINE
    assert ledger.claims.holdings(world.site) == []
