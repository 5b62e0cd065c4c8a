"""What can be done: changes as objects. Nothing mutates a system except through one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from tasks.model.claim import Draft
from tasks.model.target import Target


class Effect(StrEnum):
    """How much a change can hurt, from least to most."""

    REVERSIBLE = "reversible"  # the old state can be put back, nobody notices
    DISRUPTIVE = "disruptive"  # running work is interrupted, e.g. by a rollout
    DESTRUCTIVE = "destructive"  # something is lost: a person is asked at every trust level


class Purpose(StrEnum):
    """Why something is written. Which guards hold depends on it."""

    CHANGE = "change"  # an option of the document
    UNDO = "undo"  # an option that did not help is taken back by the run that took it
    RESTORE = "restore"  # what was changed for a while is given back


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is the case at the target at the moment of acting. The guards judge by it.

    Members are the pods of a Deployment, the containers of a service, the running tasks of a pool. A number that does
    not apply is None; one that cannot be read raises in `Change.diff`, and what cannot be judged is refused.
    """

    healthy: int | None = None  # members that work now
    wanted: int | None = None  # members that there should be
    takes_away: int = 0  # healthy members that the change takes away at one time, at most
    rollout: str = ""  # what shows that a rollout is under way
    budget: int | None = None  # disruptions that a disruption budget still allows
    owner: str = ""  # who would put the old state back, e.g. a GitOps controller
    group: str = ""  # the group of which the change takes one member, e.g. the running tasks
    group_size: int = 0


@dataclass(frozen=True, slots=True)
class Diff:
    """What a change would do to its target as it is right now.

    `version` is whatever the target itself can check when the change arrives (a resourceVersion, a backend's
    start), so that a change computed from an old state is refused by the target. `before == after` means that the
    target is already as wanted. `amounts` are the numbers after it, by what they count, for the limits of the site;
    `draft` is the claim on a number that the change makes.
    """

    before: str
    after: str
    version: str = ""
    note: str = ""
    amounts: Mapping[str, int] = field(default_factory=dict)
    draft: Draft | None = None
    around: Surroundings = field(default_factory=Surroundings)

    @property
    def needed(self) -> bool:
        return self.before != self.after

    def __str__(self) -> str:
        return f"{self.before} -> {self.after}" if self.needed else f"already {self.before}"


class Conflict(Exception):
    """The target changed between reading and writing: read again, then decide again."""


class PreconditionFailed(Exception):
    """The change must not be made as the target is now. The text says why, in one sentence."""


class NotInEffect(Exception):
    """The change was written, and its effect did not come in time."""


@runtime_checkable
class Change(Protocol):
    """One desired state of one target: 'at least 5 replicas', never '+3'.

    `diff` reads and writes nothing. `apply` writes the diff and sends its version along; it may be repeated, because
    it states a desired state. `verify` returns when the change is in effect.
    """

    @property
    def target(self) -> Target: ...

    @property
    def field(self) -> str:
        """The field that is claimed, e.g. `replicas`."""

    @property
    def wanted(self) -> str:
        """The desired state in words, e.g. `at least 5`."""

    @property
    def effect(self) -> Effect: ...

    @property
    def asks(self) -> str:
        """Why a person is asked before this change, or the empty string."""

    @property
    def restore(self) -> str:
        """When the change is given back, in the document's words."""

    def diff(self) -> Diff:
        """Reads the target and says what would change.

        Raises:
            PreconditionFailed: the change must not be made now.
        """

    def apply(self, diff: Diff) -> None:
        """Writes the change.

        Raises:
            Conflict: the target is not as `diff` saw it.
            PreconditionFailed: the change must not be made any more; nothing was written.
        """

    def verify(self, within: timedelta) -> str:
        """Waits until the change is in effect and says how that was seen.

        Raises:
            NotInEffect: it is not in effect after `within`.
        """


class Happened(StrEnum):
    """Whether a change that is no desired state has been made already."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@runtime_checkable
class Once(Change, Protocol):
    """A change that must not be made twice: to cancel, to replay, to terminate, to restart.

    Before a second attempt the target is asked. Only a clear 'no' allows it; otherwise the effect is unknown, and a
    person has to look. The same target, field and `wanted` are the same act for the whole incident: what is meant to
    be another one says so in `wanted`.
    """

    def happened(self, since: datetime) -> Happened:
        """Reads whether the change, intended at `since` by our clock, has reached the target."""


def describe(change: Change) -> str:
    """`replicas of deployment message-bus/orchestration: at least 5`"""
    return f"{change.field} of {change.target}: {change.wanted}"
