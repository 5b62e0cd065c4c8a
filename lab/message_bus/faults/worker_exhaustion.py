"""`worker-exhaustion`: every worker is busy, and more than 50 tasks are pending, but by far not 800."""

from __future__ import annotations

from lab.message_bus.control import Control, Downstream
from lab.message_bus.faults.fault import Burst, Fault, nothing
from lab.model import Form

NAME = "worker-exhaustion"

FAULTS = (
    nothing(NAME),
    Fault(
        NAME,
        Form.CURABLE_AT_ONCE,
        symptoms="More than 50 tasks pending, a few more every second, and every worker busy with ordinary work.",
        cure="More pods (minReplicas 5), or bigger pools (ORCHESTRATION_WORKER_POOL_SIZE 15, and a restart).",
        # The queue grows by four a second.
        control=Control(event_rate_factor=1.78),
        burst=Burst(ordinary=120),
    ),
    Fault(
        NAME,
        Form.CURABLE_LATER,
        symptoms="Nine of the twenty workers have been busy with one task each ever since; the others are too few for "
        "a normal day, and more than 50 tasks are pending. Some of these wait for one that never ends.",
        cure="To cancel the nine tasks that have been running longest. More workers relieve, a restart does not: "
        "the nine are queued again, and hang again.",
        # Eleven workers do 36 tasks a second, and 39 events come. There are so many at first because the pods that a
        # restart starts before it ends the old ones are a relief, too, for these seconds.
        burst=Burst(hanging=9, ordinary=160, blocked=4),
    ),
    Fault(
        NAME,
        Form.INCURABLE,
        symptoms="About 300 tasks pending, every worker busy, no task ends: the system downstream hangs.",
        cure="None here. For every task that is cancelled another one hangs; so it is after a restart, and with more "
        "workers.",
        # Callers that get no results send little.
        control=Control(event_rate_factor=0.005, downstream=Downstream.HANGS),
        burst=Burst(ordinary=330),
    ),
)
