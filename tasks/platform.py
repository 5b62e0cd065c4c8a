"""The system under care: what every platform's settings have in common. One saved block is one site."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tasks.contacts import Channel
from tasks.limits import Allowed, Limits
from tasks.model.change import Change
from tasks.model.knob import Knob
from tasks.model.outcome import Trust
from tasks.model.site import Address, SideEffect
from tasks.model.target import Target
from tasks.systems.alertmanager import Alertmanager
from tasks.systems.exposition import Endpoints
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.metrics import Labels, Metrics
from tasks.systems.prometheus import Prometheus


class Pace(BaseModel):
    """How long to look, wait and try. The practice ground scales these down; nothing else differs there."""

    model_config = ConfigDict(frozen=True)

    poll_seconds: float = Field(10, gt=0, title="Look again every (seconds)")
    settle_seconds: float = Field(60, ge=0, title="A criterion must hold for (seconds)")
    stale_after_seconds: float = Field(60, gt=0, title="A sample is stale after (seconds)")
    window_seconds: float = Field(300, gt=0, title="Window for rates and trends (seconds)")
    quick_check_minutes: float = Field(2, gt=0, title="An option must show effect within (minutes)")
    lease_seconds: float = Field(
        30, gt=0, le=200, title="A run that shows no sign of life for so long loses what it holds (seconds)"
    )
    approve_minutes: float = Field(15, gt=0, title="A person is asked for (minutes)")
    give_back_seconds: float = Field(60, gt=0, title="Between two steps of giving back (seconds)")
    look_back_seconds: float = Field(300, gt=0, title="Between two looks at what is still changed (seconds)")
    verify_minutes: float = Field(5, gt=0, title="A change must be in effect within (minutes)")

    @property
    def poll(self) -> timedelta:
        return timedelta(seconds=self.poll_seconds)

    @property
    def settle(self) -> timedelta:
        return timedelta(seconds=self.settle_seconds)

    @property
    def stale_after(self) -> timedelta:
        return timedelta(seconds=self.stale_after_seconds)

    @property
    def window(self) -> timedelta:
        return timedelta(seconds=self.window_seconds)

    @property
    def quick_check(self) -> timedelta:
        return timedelta(minutes=self.quick_check_minutes)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def approve(self) -> timedelta:
        return timedelta(minutes=self.approve_minutes)

    @property
    def give_back(self) -> timedelta:
        return timedelta(seconds=self.give_back_seconds)

    @property
    def verify(self) -> timedelta:
        return timedelta(minutes=self.verify_minutes)


class Platform(Block):
    """One site of one platform: where it lives, what is allowed there, the numbers of its document."""

    _block_type_name = "Runbook platform (base)"

    alert_labels: dict[str, str] = Field(
        default_factory=dict,
        title="Alert labels",
        description="An alert with all of these labels concerns this site. Empty: this site answers to no alert.",
    )
    trust: Trust = Field(
        Trust.APPROVE,
        title="Trust",
        description="How far runbooks may go by themselves at this site.",
    )
    trust_by_runbook: dict[str, Trust] = Field(
        default_factory=dict, title="Trust per runbook", description="Exceptions, by the runbook's id."
    )
    silent_after_minutes: float = Field(
        15,
        gt=0,
        title="Alerting is silent after (minutes)",
        description="People are told when the rule RunbooksWatchdog, once heard regularly, is not heard for so long.",
    )
    prometheus_url: str = Field("", title="Prometheus", description="Empty: metrics are scraped from the pods.")
    prometheus_labels: dict[str, str] = Field(
        default_factory=dict,
        title="Prometheus labels",
        description="Labels that tell this site's series from those of others, e.g. namespace.",
    )
    prometheus_token: SecretStr | None = Field(None, title="Prometheus token")
    alertmanager_url: str = Field("", title="Alertmanager", description="Empty: this site has none.")
    alertmanager_token: SecretStr | None = Field(None, title="Alertmanager token")
    pace: Pace = Field(default_factory=lambda: Pace.model_validate({}), title="Pace")
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}), title="Limits")
    contacts: list[Channel] = Field(
        default_factory=list, title="Contacts", description="Who is told and called. Empty: nobody is."
    )
    restore_within_minutes: float = Field(
        240,
        gt=0,
        title="Changes given back within (minutes)",
        description="After that a person is called: something temporary has become permanent.",
    )
    escalate_after_minutes: float = Field(
        30, gt=0, title="Escalate after (minutes)", description="The document's limit for one attempt at recovery."
    )

    @classmethod
    def slug(cls) -> str:
        """The platform's name in commands and addresses."""
        return cls.get_block_type_slug()

    def trust_in(self, runbook: str) -> Trust:
        """The trust level of a runbook at this site."""
        return self.trust_by_runbook.get(runbook, self.trust)

    @property
    def escalate_after(self) -> timedelta:
        return timedelta(minutes=self.escalate_after_minutes)

    @property
    def restore_within(self) -> timedelta:
        return timedelta(minutes=self.restore_within_minutes)

    def allowed(self, trust: Trust) -> Allowed:
        """What a run with this trust may do here."""
        return Allowed(trust, self.scopes(), self.limits, self.ceilings(), self.floors())

    @abstractmethod
    def knob(self, target: Target, field: str) -> Knob:
        """The knob for a field on which a claim was made, perhaps by another process.

        Raises:
            ValueError: the platform knows no such field.
        """

    def follow_up(self, target: Target, field: str) -> Change | None:
        """What makes a field take effect after it was given back, e.g. a restart; None where nothing has to follow.

        Its `diff` says whether it is still needed: it is asked for again by who comes back to this after a crash.
        """
        return None

    @abstractmethod
    def ceilings(self) -> Mapping[str, int]:
        """The most that runbooks may set, by what is counted."""

    @abstractmethod
    def floors(self) -> Mapping[str, int]:
        """The least that must be left of a target, by its name; 1 where nothing is said."""

    @abstractmethod
    def where(self) -> str:
        """The site in words, for reports: cluster, namespace, host."""

    @abstractmethod
    def scopes(self) -> frozenset[str]:
        """The scopes (namespaces, projects, databases) in which changes are allowed."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """Whoever answers questions about metrics at this site."""

    def endpoints(self) -> Endpoints | None:
        """The metrics endpoints of the pods themselves, where this platform has any."""
        return None

    def cluster(self) -> Cluster | None:
        """The site's namespace of its Kubernetes cluster; None where the platform is on none."""
        return None

    def permissions(self) -> frozenset[Permission]:
        """All that its probes and changes do in the cluster, and nothing else: a Role is made from it."""
        return frozenset()

    def owners(self) -> Mapping[str, str]:
        """Who would put back what runbooks change here, by target: read from the system. Raises as the reading does."""
        return {}

    def goals(self) -> Mapping[str, Mapping[str, int]]:
        """By runbook, the numbers that the document's options want to reach, by what is counted: see `ceilings`."""
        return {}

    def side_effects(self) -> tuple[SideEffect, ...]:
        """The alerts that say no more than what claims of ours bring about on purpose: held back while they do."""
        return ()

    def contradictions(self) -> tuple[str, ...]:
        """Settings of this site that do not go together, a sentence each."""
        return ()

    def prometheus(self) -> Prometheus | None:
        """The site's Prometheus, if it has one."""
        if not self.prometheus_url:
            return None
        return Prometheus(self.prometheus_url, self.prometheus_scope(), token=_plain(self.prometheus_token))

    def prometheus_scope(self) -> Labels:
        """The labels that restrict a query to this site."""
        return tuple(sorted(self.prometheus_labels.items()))

    def alertmanager(self) -> Alertmanager | None:
        """The site's Alertmanager, if it has one."""
        if not self.alertmanager_url:
            return None
        return Alertmanager(self.alertmanager_url, token=_plain(self.alertmanager_token))

    def address(self, site: str) -> Address:
        """What has to be known of this site, by the name that it is saved under, to bring alerts to it."""
        return Address(site, self.slug(), dict(self.alert_labels), self.side_effects())


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
