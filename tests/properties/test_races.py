"""Several runs that want the same at the same time, each halted, asleep or killed wherever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.conftest import chosen, in_parts, profile
from tests.properties.ending import complaints, heal
from tests.properties.machine import pick
from tests.properties.theatre import SITE, Theatre

POINTS = ("before intend", "before intend", "intended", "before write", "after write", "before ledger", "settled")

Move = tuple[int, str | int, int]

moves = st.lists(
    st.tuples(
        st.integers(0, 4),  # which process
        st.one_of(
            st.sampled_from(POINTS),
            st.integers(1, 3),  # so many points
            st.sampled_from(["sleeps", "wakes", "is killed", "runs out", "the watch looks"]),
        ),
        st.sampled_from([0, 0, 0, 0, 1, 60, 100, 300]),  # seconds after it
    ),
    max_size=30,
)


@in_parts
@chosen(profile().races)
@given(moves=moves, claimed=st.booleans())
def test_one_writer_per_target(part: int, moves: list[Move], claimed: bool) -> None:
    """Two runs of the same severity, a graver one and perhaps a restore are about to write to the same pods; what
    happens then, and in which order, is drawn."""
    theatre = Theatre(trust="act")
    try:
        gather(theatre, claimed)
        for number, how, seconds in moves:
            move(theatre, number, how)
            theatre.host.let_pass(seconds)
        assert not theatre.judge.found, "\n".join(map(str, theatre.judge.found))
        heal(theatre)
        found = complaints(theatre)
        assert not found, "\n".join(found)
    finally:
        theatre.close()


def gather(theatre: Theatre, claimed: bool) -> None:
    """Lets everybody find a reason to write, one after the other, and halts each just before it plans to."""
    world, host, server = theatre.world, theatre.host, theatre.prefect
    world.queue, world.inflow = 850.0, 60.0
    if claimed:
        theatre.alert("QueueHigh")
        theatre.go_on(1)
        theatre.alert("QueueHigh", "resolved")
        host.run_to(theatre.start(server.new_run("restore", {"site": SITE, "force": True})), "before give back")
        world.queue = 850.0
    theatre.alert("QueueHigh")
    for run in [*theatre.scheduled(), server.new_run("queue-high", {"site": SITE})]:
        host.run_to(theatre.start(run), "before plan")
    world.queue = 1500.0
    theatre.alert("QueueCritical")
    for run in theatre.scheduled():
        host.run_to(theatre.start(run), "before plan")


def move(theatre: Theatre, number: int, how: str | int) -> None:
    host = theatre.host
    if how == "the watch looks":
        host.run_out(theatre.watch())
        for run in theatre.scheduled():
            theatre.start(run)
        return
    process = pick([process for process in host.processes if process.kind != "watch"], number)
    match how:
        case "sleeps":
            host.stop(process)
        case "wakes":
            host.wake(process)
        case "is killed":
            host.kill(process)
        case "runs out":
            host.run_out(process)
        case int():
            for _ in range(how):
                host.step(process)
        case str():
            host.run_to(process, how)
