"""The words in which the ground speaks with whoever uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class GroundError(Exception):
    """The ground cannot do what it was asked; the text is one sentence for a person."""


class Form(StrEnum):
    """How hard a fault is to cure."""

    HEALTHY = "healthy"
    """Nothing is broken: who acts here acts wrongly."""
    CURABLE_AT_ONCE = "curable-at-once"
    """The first thing that the documents advise cures it."""
    CURABLE_LATER = "curable-later"
    """The first thing fails or does not suffice; a later one cures it."""
    INCURABLE = "incurable"
    """Nothing that the documents advise cures it: a person has to be called."""


@dataclass(frozen=True)
class Webhook:
    """Where Alertmanager sends alerts, with the bearer token it shows there."""

    url: str
    token: str = field(repr=False)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoints(_Frozen):
    """How to reach the ground; stored as `endpoints.json` in its state folder."""

    kubeconfig: Path
    contexts: tuple[str, ...]
    """`admin` may do everything, `operator` (user `runbooks`) what an automation should, `viewer` reads."""
    namespace: str
    redis_url: str
    prometheus_url: str | None
    alertmanager_url: str | None
    audit_log: Path
    """Every write that reached the cluster."""
    admin_audit_log: Path
    """Every write that reached the service's own administration."""


class Component(_Frozen):
    """A process of the ground."""

    name: str
    running: bool


class Workload(_Frozen):
    """A deployment, with the pods that it has ready and wants."""

    name: str
    ready: int
    desired: int


class ActiveFault(_Frozen):
    """The fault that the ground was broken with."""

    name: str
    form: Form


class Status(_Frozen):
    """How the ground is. What cannot be read is None; of a ground that is down nothing can."""

    components: tuple[Component, ...]
    workloads: tuple[Workload, ...] = ()
    queue_depth: int | None = None
    """Tasks pending."""
    utilisation: float | None = None
    """Busy workers as a share of all workers, 0 to 1."""
    fault: ActiveFault | None = None

    @property
    def up(self) -> bool:
        """Whether every process of the ground is running."""
        return bool(self.components) and all(component.running for component in self.components)
