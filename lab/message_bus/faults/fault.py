"""What a fault consists of.

The numbers of all faults follow from these: a worker does 3.3 tasks a second, so 2 x 10 workers do 65; on a normal day
the publishers send 39 events a second; the task queue holds 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.kubernetes.objects import Object
from lab.message_bus.control import Control
from lab.message_bus.events import Event
from lab.model import Form


@dataclass(frozen=True)
class Patch:
    """A change to an object of the cluster: a JSON merge patch to what the manifest names."""

    manifest: Object
    changes: Object


@dataclass(frozen=True)
class Burst:
    """Events that arrive all at once."""

    hanging: int = 0
    """Their tasks never end, whichever pod runs them: it is what they carry."""
    ordinary: int = 0
    blocked: int = 0
    """They wait for one of the hanging ones."""

    def events(self) -> list[Event]:
        """The events, happening now."""
        hanging = [Event.happening(hangs=True) for _ in range(self.hanging)]
        ordinary = [Event.happening() for _ in range(self.ordinary)]
        blocked = [Event.happening(depends_on=hanging[0].id) for _ in range(self.blocked)]
        # First what hangs. What is blocked follows so much later that no pod can begin it before.
        later = len(ordinary) // 3
        return [*hanging, *ordinary[:later], *blocked, *ordinary[later:]]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong: what a person would see, what cures it, and how it is brought about."""

    name: str
    form: Form
    symptoms: str
    cure: str
    control: Control = field(default_factory=Control)
    burst: Burst = field(default_factory=Burst)
    patches: tuple[Patch, ...] = ()


def nothing(name: str) -> Fault:
    """The healthy form of any fault of the message bus."""
    return Fault(
        name,
        Form.HEALTHY,
        symptoms="None: the queue is empty, and the workers are busy to about 60 %.",
        cure="There is nothing to cure.",
    )
