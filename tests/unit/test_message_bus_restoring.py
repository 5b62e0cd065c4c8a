"""When the claims of the task queue's runbooks are given back."""

from __future__ import annotations

from typing import Any

import pytest

from flows.message_bus import restoring
from tasks.model.claim import Claim, Levels
from tasks.model.decision import GiveBack, Keep
from tasks.model.evidence import UnknownReading
from tasks.runbook import Release
from tests.unit.message_bus import GONE, at_least, at_most, bus, pods, pool, queue, release

QUIET: dict[str, Any] = {"queue": queue(20), "pool": pool(active=4)}


def judge(seen: dict[str, Any], what: Release) -> Keep | GiveBack:
    """The verdict on a claim at a platform that is seen like this."""
    found = {"queue": queue(850), "pool": pool(), "replicas": pods(2), **seen}
    return restoring.judge(found["queue"], found["pool"], found["replicas"], bus(), what, below=500)


# what is seen, the claim, the numbers before and after -> what becomes of it
BACK: list[tuple[dict[str, Any], Claim, Levels, Levels, type[Keep | GiveBack], str]] = [
    ({"queue": queue(500)}, at_least(5), {"replicas": 5}, {"replicas": 2}, Keep, "500 tasks wait, fewer than 500 must"),
    ({"pool": pool(active=4)}, at_least(5), {"replicas": 5}, {"replicas": 2}, Keep, "850 tasks wait"),
    (QUIET, at_least(5), {"replicas": 5}, {"replicas": 2}, GiveBack, "what is left will be busy to 50%"),
    ({**QUIET, "pool": pool(active=7)}, at_least(5), {"replicas": 5}, {"replicas": 2}, Keep, "would be busy to 88%"),
    (QUIET, at_least(15), {"value": 15}, {"value": 10}, GiveBack, "will be busy to 30%"),
    (QUIET, at_least(5), {"replicas": 5}, {"replicas": 5}, GiveBack, "nothing gets smaller"),
    ({**QUIET, "replicas": pods(5, scaler=(5, 5, 5, 5))}, at_least(5), {"minReplicas": 5, "maxReplicas": 5},
     {"minReplicas": 1, "maxReplicas": 4}, Keep, "would be busy to 100%"),
    ({**QUIET, "pool": pool(0, 0, 0)}, at_least(5), {"replicas": 5}, {"replicas": 2}, Keep, "would be busy to 100%"),
    ({**QUIET, "replicas": pods(5, settled=False)}, at_least(5), {"replicas": 5}, {"replicas": 2}, Keep, "a rollout"),
    ({"queue": queue(499)}, at_most(1), {"replicas": 1}, {"replicas": 3}, GiveBack, "499 tasks wait, fewer than 500"),
    ({"queue": queue(500)}, at_most(1), {"replicas": 1}, {"replicas": 3}, Keep, "500 tasks wait"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "claim", "before", "after", "fate", "because"), BACK)
def test_giving_back(
    seen: dict[str, Any], claim: Claim, before: Levels, after: Levels, fate: type[Keep | GiveBack], because: str
) -> None:
    verdict = judge(seen, release(claim, before, after))
    assert isinstance(verdict, fate), verdict
    assert because in verdict.because


def test_event_sources_come_back_one_at_a_time_and_capacity_at_once() -> None:
    sources = judge(QUIET, release(at_most(1), {"replicas": 1}, {"replicas": 3}))
    workers = judge(QUIET, release(at_least(5), {"replicas": 5}, {"replicas": 2}))
    assert isinstance(sources, GiveBack)
    assert isinstance(workers, GiveBack)
    assert (sources.step, workers.step) == (1, None)


@pytest.mark.parametrize("blind", ["queue", "replicas", "pool"])
def test_what_cannot_be_told_is_not_given_back(blind: str) -> None:
    with pytest.raises(UnknownReading):
        judge({**QUIET, blind: GONE}, release(at_least(5), {"replicas": 5}, {"replicas": 2}))
