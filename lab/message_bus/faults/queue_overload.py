"""`queue-overload`: more than 800 tasks are pending."""

from __future__ import annotations

from lab.message_bus import manifests
from lab.message_bus.control import Control, Downstream
from lab.message_bus.faults.fault import Burst, Fault, Patch, nothing
from lab.model import Form

NAME = "queue-overload"

# The queue grows by four a second with 2 x 10 workers, while 2 x 15 have more than a quarter of their time to spare.
_BUSY = Control(event_rate_factor=1.78)
_BURST = Burst(ordinary=820)

FAULTS = (
    nothing(NAME),
    Fault(
        NAME,
        Form.CURABLE_AT_ONCE,
        symptoms="More than 800 tasks pending, a few more every second, and every worker busy.",
        cure="More pods, through the autoscaler's lower bound (minReplicas 5): a replica count set past the autoscaler "
        "holds for minutes at best.",
        control=_BUSY,
        burst=_BURST,
    ),
    Fault(
        NAME,
        Form.CURABLE_LATER,
        symptoms="As curable-at-once, but the autoscaler's upper bound is two pods.",
        cure="Bigger pools (ORCHESTRATION_WORKER_POOL_SIZE 15, and a restart), or a single event publisher: "
        "more pods are not allowed.",
        control=_BUSY,
        burst=_BURST,
        patches=(Patch(manifests.orchestration_autoscaler(), {"spec": {"maxReplicas": 2}}),),
    ),
    Fault(
        NAME,
        Form.INCURABLE,
        symptoms="More than 800 tasks pending, every worker busy, no task ends: the system downstream hangs.",
        cure="None here. More workers only means more hanging workers; fewer publishers does not shorten the queue.",
        # Callers that get no results send little. The queue stays between the limits of the two alerts, 800 and 950,
        # for minutes, also when all pods stop and give their tasks back, or when a hundred more workers each take one.
        control=Control(event_rate_factor=0.005, downstream=Downstream.HANGS),
        burst=Burst(ordinary=930),
    ),
)
