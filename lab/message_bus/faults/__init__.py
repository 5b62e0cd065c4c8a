"""What can be broken on the message bus, as data: a new fault is a new module here."""

from __future__ import annotations

from lab.message_bus.faults import queue_critical, queue_overload, worker_exhaustion
from lab.message_bus.faults.fault import Fault
from lab.model import Form, GroundError

__all__ = ["FAULTS", "Fault", "find_fault"]

FAULTS: tuple[Fault, ...] = (*queue_overload.FAULTS, *queue_critical.FAULTS, *worker_exhaustion.FAULTS)


def find_fault(name: str, form: Form) -> Fault:
    """The fault of that name, in that form.

    Raises:
        GroundError: there is none.
    """
    for fault in FAULTS:
        if (fault.name, fault.form) == (name, form):
            return fault
    known = ", ".join(sorted({fault.name for fault in FAULTS}))
    raise GroundError(f"there is no fault {name} ({form.value}); there is {known}")
