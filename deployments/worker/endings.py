"""How the process of a run ended, and what Prefect has to be told about it. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from prefect import State
from prefect.client.schemas.objects import StateType
from prefect.states import AwaitingRetry, Cancelled, Crashed

_SENT: Mapping[int, str] = {
    signal.SIGKILL: "by a person, or by the kernel when memory ran out",
    signal.SIGTERM: "by a person or a program",
    signal.SIGSEGV: "a fault in native code",
    signal.SIGABRT: "a fault in native code",
    signal.SIGBUS: "a fault in native code, or a full disk",
}


class Cause(StrEnum):
    """Why a process ended."""

    ITSELF = "by itself"
    CANCELLED = "cancelled"  # a person ended the run in Prefect
    STOPPED = "stopped"  # its worker was told to end
    HUNG = "hung"  # it gave no sign of life
    TOO_LONG = "too long"  # it took longer than any run may
    NOT_STARTED = "not started"  # what its deployment or the pool says of it makes no sense
    LEFT = "left"  # its worker was killed, and it ended before another one looked


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a process. `code` is its exit code, negative for a signal, None where nobody can tell."""

    cause: Cause
    code: int | None
    pid: int
    detail: str = ""

    @property
    def how(self) -> str:
        """In words, for people."""
        match self.cause:
            case Cause.HUNG:
                return f"the process {self.pid} {self.detail}, and was killed"
            case Cause.TOO_LONG:
                return f"the process {self.pid} {self.detail}, longer than any run may be, and was killed"
            case Cause.NOT_STARTED:
                return f"it cannot be started: {self.detail}"
            case Cause.LEFT:
                return f"the worker of this run was killed, and its process {self.pid} ended before the run did"
        if self.code is None:
            return f"the process {self.pid} ended"
        if self.code >= 0:
            return f"the process {self.pid} ended with exit code {self.code} without saying how the run ended"
        return f"the process {self.pid} was ended by {describe(-self.code)}"


def describe(signum: int) -> str:
    """A signal, and what usually sends it."""
    try:
        name = signal.Signals(signum).name
    except ValueError:
        name = f"signal {signum}"
    return f"{name} ({_SENT[signum]})" if signum in _SENT else name


def to_be_told(ending: Ending, state: State | None, worker: str) -> State | None:
    """The state that Prefect has to be given, or None when it knows already how the run stands.

    A run that ended, that is suspended, or that waits for another attempt has said so itself.
    """
    if state is None or state.is_final() or state.is_paused() or state.is_scheduled():
        return None
    if ending.cause is Cause.CANCELLED or state.type is StateType.CANCELLING:
        return Cancelled(message="cancelled by a person")
    if ending.cause is Cause.STOPPED:
        if state.state_details.deployment_concurrency_lease_id:  # its slot would keep its next attempt out
            return Crashed(message=f"the worker {worker!r} was stopped before the run was over")
        return AwaitingRetry(message=f"the worker {worker!r} was stopped: the next one goes on with this run")
    return Crashed(message=ending.how)
