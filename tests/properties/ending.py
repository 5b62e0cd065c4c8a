"""The end of every example: what was wrong is put right, and then everything has to come to rest as it began."""

from __future__ import annotations

from tests.properties.plant import FIELDS, RUNBOOKS
from tests.properties.theatre import Theatre
from tests.properties.world import POOL

ROUNDS = 30  # so often the watch looks before what is still claimed counts as forgotten


def heal(theatre: Theatre) -> None:
    """The load is as it was, everything answers, the alerts end, people give back what they took; and time passes."""
    world, ledger = theatre.world, theatre.ledger
    theatre.resume()
    theatre.prefect.away = theatre.prefect.loses_events = False
    world.inflow, world.hangs, world.queue = 0.0, False, 0.0
    world.sick, world.rollout, world.budget, world.trouble = 0, "", None, None
    world.unreadable.clear()
    world.not_numbers.clear()
    for thing in world.things.values():
        thing.owner = ""
    theatre.clock.catch_up()  # a clock that was set back makes everything wait for as long
    for process in theatre.host.processes:
        theatre.host.wake(process)
    for incident in ledger.incidents.still_open():
        ledger.incidents.hand_back(incident.id)
    for runbook in RUNBOOKS.values():
        theatre.alert(runbook.alert, "resolved")
    for _ in range(ROUNDS):
        theatre.go_on(2)
        if theatre.quiet():
            return
        theatre.host.let_pass(200)


def complaints(theatre: Theatre) -> list[str]:
    """What is not as it should be at the end."""
    world, ledger = theatre.world, theatre.ledger
    found = [str(broken) for broken in theatre.judge.found] + theatre.failures()
    found += [f"still going on: {process}" for process in theatre.living()]
    found += [f"still open: {i.alert}, had by {i.claimed_by}" for i in ledger.incidents.still_open()]
    found += [f"still claimed: {h.field} of {h.target}: {c.claim} for {c.runbook}, {c.state}, by {c.run[-3:]}"
              for h in ledger.claims.holdings() for c in h.claims]  # fmt: skip
    for target in FIELDS:
        value, first = world.things[target].value, world.by_hand.get(target, world.first[target])
        known_as_ours = target in world.by_hand and first in theatre.judge.ours.get(target, ())
        if value != first and not known_as_ours:
            found.append(f"{target} is {value}, not {first}")
    if POOL not in world.by_hand and world.running_workers != world.first[POOL]:
        found.append(f"the pods still run with pools of {world.running_workers}")
    found += [f"sent {len(b.sent)} times: batch {b.number}" for b in world.batches if len(b.sent) > 1]
    return found
