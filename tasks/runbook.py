"""A runbook as it is declared: everything that the stages need to know about one section of a document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from tasks.ledger.records import ClaimRecord
from tasks.model.claim import Levels
from tasks.model.criterion import Criterion, Limit
from tasks.model.decision import GiveBack, Keep, Triage, Verdict
from tasks.model.escalation import Ladder
from tasks.model.evidence import Probe, Unknown
from tasks.model.incident import Raiser
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tasks.platform import Platform
from tasks.systems.metrics import Question

P = TypeVar("P", bound=Platform)
F = TypeVar("F")
T = TypeVar("T")


class Look(Protocol):
    """Takes a reading, or says why it could not be had."""

    def __call__(self, probe: Probe[T], /) -> T | Unknown: ...


@dataclass(frozen=True, slots=True)
class Trigger:
    """When the alert fires: a question, the limit that is broken, and for how long.

    `broken` is the document's condition as written (`> 800`); it is also what the alert rule, the health check and
    the plot of the report use.
    """

    text: str
    question: Question
    broken: Limit
    hold: timedelta


Option = Callable[[F, P], Verdict]


@dataclass(frozen=True, slots=True)
class Release:
    """What giving a claim back would do: the numbers now and after."""

    claim: ClaimRecord
    before: Levels
    after: Levels


def ask_nothing(platform: Any) -> tuple[Question, ...]:
    """For runbooks that ask no more of metrics than their trigger does."""
    return ()


def keep_nothing(found: Any, platform: Any, release: Release) -> GiveBack:
    """For runbooks that make no claims."""
    return GiveBack("nothing says that it is still needed")


@dataclass(frozen=True)
class Runbook(Generic[P, F]):
    """One runbook: its place in the document, its evidence, its options in order, its criteria of recovery.

    `evidence` takes all its readings through `look`. It is called twice, once to learn which readings it wants
    (they are then taken side by side) and once to hand them over: so it must do nothing but that.
    `repeats` names options that are taken again as long as they change something (one stuck task after the other), with
    how many changes they may make for one incident.
    `questions` are all that its evidence and criteria ask of metrics: they are known before anything is asked.
    `subject` is what the runbook treats: one run at a time has it. `give_back` says of a claim of this runbook whether
    it is still needed. `triage`, the options and `give_back` are pure.
    """

    id: str
    title: str
    document: str
    section: str
    alert: str
    severity: Severity
    respond_within: timedelta
    platform: type[P]
    trigger: Callable[[P], Trigger]
    evidence: Callable[[Look, P], F]
    triage: Callable[[F, P], Triage]
    options: tuple[Option[F, P], ...]
    criteria: Callable[[P, Raiser], tuple[Criterion, ...]]
    subject: Callable[[P], Target]
    ladder: Ladder
    give_back: Callable[[F, P, Release], Keep | GiveBack] = keep_nothing
    repeats: Mapping[Option[F, P], Callable[[P], int]] = field(default_factory=dict)
    questions: Callable[[P], tuple[Question, ...]] = ask_nothing

    @property
    def slug(self) -> str:
        """The name of flow and deployment."""
        return self.id.replace("_", "-")

    @property
    def source(self) -> str:
        return f"{self.document}, “{self.section}”"

    def probes(self, platform: P) -> tuple[Probe[Any], ...]:
        """The readings that `evidence` wants, learnt by letting it ask."""
        wanted: list[Probe[Any]] = []

        def look(probe: Probe[T]) -> T | Unknown:
            wanted.append(probe)
            return Unknown("not read yet")

        asking: Look = look
        self.evidence(asking, platform)
        return tuple(wanted)

    def asks(self, platform: P) -> tuple[Question, ...]:
        """All that it asks of metrics, the alert's own question first, each once."""
        return tuple(dict.fromkeys((self.trigger(platform).question, *self.questions(platform))))


AnyRunbook = Runbook[Any, Any]


def option_name(option: Callable[..., Any]) -> str:
    """`scale_workers_out` -> `scale workers out`"""
    return option.__name__.replace("_", " ")


def option_text(option: Callable[..., Any]) -> str:
    """The first line of the option's docstring: the document's own words."""
    return (inspect.getdoc(option) or option_name(option)).splitlines()[0].rstrip(".")
