"""`queue-critical`: more than 950 tasks are pending, of the 1,000 that the queue holds."""

from __future__ import annotations

from lab.message_bus import manifests
from lab.message_bus.control import Control, Downstream
from lab.message_bus.faults.fault import Burst, Fault, nothing
from lab.model import Form

NAME = "queue-critical"

# Full at once, and a few are refused. The publishers hear up to a second later how busy the world is.
_BURST = Burst(ordinary=1020)

FAULTS = (
    nothing(NAME),
    Fault(
        NAME,
        Form.CURABLE_AT_ONCE,
        symptoms="More than 950 tasks pending: the queue is full and refuses tasks. Every worker busy.",
        cure="Ten pods (minReplicas 10) with pools of 20 empty the queue within seconds.",
        # 78 events a second for 2 x 10 workers that do 65.
        control=Control(event_rate_factor=2.0),
        burst=_BURST,
    ),
    Fault(
        NAME,
        Form.CURABLE_LATER,
        symptoms="As curable-at-once, but it is analytics and background jobs that flood the bus: "
        "five pods do not keep up with them.",
        cure="No analytics and no background jobs (both publishers at 0 replicas): what remains is less than usual. "
        "Ten pods with pools of 20 would do as well, where so many are allowed.",
        # 195 events a second for 5 x 10 workers that do 163; without the flood there are 27.
        control=Control(rate_factors={manifests.ANALYTICS: 14.0, manifests.BACKGROUND_JOBS: 14.0}),
        burst=_BURST,
    ),
    Fault(
        NAME,
        Form.INCURABLE,
        symptoms="The queue is full and refuses tasks, every worker busy, no task ends: the system downstream hangs.",
        cure="None here. More workers only means more hanging workers, and callers that get no results ask again and "
        "again: without analytics and background jobs there are still enough to keep the queue full.",
        # 117 events a second: what two hundred workers take from the queue is there again two seconds later.
        control=Control(event_rate_factor=3.0, downstream=Downstream.HANGS),
        burst=_BURST,
    ),
)
