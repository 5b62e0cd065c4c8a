"""Killed at every point: whatever was done is found out, nothing is done twice, and all is given back in the end.

For each story the run is played once to see its points, then once for each of them: there it is killed, and everything
else goes on as in an installation. The points are before and after all calls to something outside (the ledger, the
plant, Prefect); to be killed anywhere between two of them comes to the same, so all fail points of production code are
among them. Where a story begins as another one does, `./dev test` kills only from where they part, and only at a few
points spread over the rest; `./dev prove` kills at every one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tasks.model.change import Purpose
from tests.properties.conftest import profile
from tests.properties.ending import complaints, heal
from tests.properties.processes import Process
from tests.properties.theatre import Theatre
from tests.properties.world import PODS, ROLLOUT, Batch

OUTSIDE = ("before ledger", "before write", "after write", "prefect", "suspended")


@dataclass(frozen=True)
class Story:
    """Something that goes wrong with the plant, up to where the process starts that is killed."""

    name: str
    begins: Callable[[Theatre], None]
    plays: str  # the kind of the process that is killed
    approving: bool = False
    parts: Callable[[Theatre], bool] = lambda theatre: True


def load(inflow: float, alert: str) -> Callable[[Theatre], None]:
    def begins(theatre: Theatre) -> None:
        theatre.world.inflow = inflow
        theatre.world.queue = 850.0 if alert == "QueueHigh" else 1200.0
        theatre.alert(alert)

    return begins


def hangs(theatre: Theatre) -> None:
    """Nothing is worked off, and little arrives: no option helps, and it does not get graver."""
    theatre.world.hangs, theatre.world.inflow, theatre.world.queue = True, 0.05, 850.0
    theatre.alert("QueueHigh")


def letters(*, told: bool) -> Callable[[Theatre], None]:
    def begins(theatre: Theatre) -> None:
        theatre.world.target_tells = told
        theatre.world.batches.append(Batch(1))
        theatre.alert("LettersLost")

    return begins


def over(inflow: float, alert: str, approving: bool = False) -> Callable[[Theatre], None]:
    """A run has done its work, and the alert is over."""

    def begins(theatre: Theatre) -> None:
        load(inflow, alert)(theatre)
        theatre.go_on(2, approving=approving)
        theatre.world.inflow = 15.0
        theatre.host.let_pass(300)
        theatre.alert(alert, "resolved")

    return begins


def more_pods(theatre: Theatre) -> bool:
    return theatre.world.things[PODS].value > theatre.world.first[PODS]


def asked(theatre: Theatre) -> bool:
    return bool(theatre.ledger.approvals.waiting())


STORIES = [
    Story("more pods help", load(40, "QueueHigh"), "queue-high"),
    Story("bigger pools help", load(50.5, "QueueHigh"), "queue-high", parts=more_pods),
    Story("nothing helps, and what was done is undone", hangs, "queue-high", approving=True, parts=asked),
    Story("a person is asked and does not answer", hangs, "queue-high", parts=asked),
    Story("everything at once", load(90, "QueueCritical"), "queue-critical", approving=True),
    Story("sent again, and the target tells", letters(told=True), "letters-lost"),
    Story("sent again, and the target does not tell", letters(told=False), "letters-lost"),
    Story("given back", over(50.5, "QueueHigh"), "restore"),
    Story("given back, all of it", over(90, "QueueCritical", approving=True), "restore"),
    Story("watched", load(40, "QueueHigh"), "watch"),
]
LONG = ("nothing helps, and what was done is undone", "everything at once", "given back")
"""They take a minute each, and belong to `./dev prove`."""


@dataclass
class Played:
    """A story that was played to its end. `points` are those at which it is worth to be killed."""

    theatre: Theatre
    points: dict[int, str]

    def chosen(self) -> dict[int, str]:
        """As many of the points as this test run has time for, from the first to the last."""
        every, wanted = list(self.points), profile().kills
        if len(every) > wanted:
            every = [every[round(number * (len(every) - 1) / (wanted - 1))] for number in range(wanted)]
        return {point: self.points[point] for point in every}


def play(story: Story, killed_at: int | None) -> Played:
    """Plays a story to its end; the process is killed at its point with this number."""
    played = Played(Theatre(trust="act"), {})
    theatre, reached = played.theatre, [0, -1]  # how many points, and what had been done outside at the last one
    parted = [profile().name == "prove"]

    def kill(process: Process, point: str) -> None:
        if process.kind != story.plays or not point.startswith(OUTSIDE):
            return
        number, done = reached[0], theatre.host.done
        if done != reached[1] and (parted[0] or story.parts(theatre)):
            parted[0] = True
            played.points[number] = point
        reached[:] = number + 1, done
        if number == killed_at:
            process.halts = lambda point: True
            theatre.host.kill(process)

    story.begins(theatre)
    theatre.host.reaches.append(kill)
    theatre.go_on(8, every=100, approving=story.approving)
    heal(theatre)
    return played


def complaints_of(played: Played) -> list[str]:
    """What is not as it should be at the end of the story."""
    try:
        return complaints(played.theatre) + written_twice(played.theatre)
    finally:
        played.theatre.close()


def written_twice(theatre: Theatre) -> list[str]:
    """What was written once more although nobody had given it back. (No number was set by hand.)"""
    made = Counter((w.target, w.field, w.after) for w, purpose, _ in theatre.judge.written if purpose is Purpose.CHANGE)
    back = Counter((w.target, w.field, w.before) for w, purpose, _ in theatre.judge.written if purpose is Purpose.UNDO)
    return [f"written again: {what}" for what, times in made.items() if times > 1 + back[what] and what[1] != ROLLOUT]


@pytest.mark.parametrize(
    "story",
    [pytest.param(one, id=one.name, marks=[pytest.mark.prove] * (one.name in LONG)) for one in STORIES],
)
def test_killed_at_every_point(story: Story) -> None:
    whole = play(story, None)
    assert complaints_of(whole) == []
    assert whole.points, "the process was never started"
    killed = {f"{at} {point}": complaints_of(play(story, at)) for at, point in whole.chosen().items()}
    failed = {where: found for where, found in killed.items() if found}
    assert not failed, "\n".join(f"killed at {where}:\n   " + "\n   ".join(found) for where, found in failed.items())
