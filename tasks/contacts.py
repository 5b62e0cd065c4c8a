"""Where people are reached: channels of a site, editable with its block."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from tasks.systems.notify import Notifier, PagerDuty, Slack, Webhook


class Channel(BaseModel):
    """One way to reach people: a Slack webhook, a PagerDuty service, or anything that takes JSON."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["slack", "pagerduty", "webhook"] = Field(title="Kind")
    level: int = Field(
        0,
        ge=0,
        title="Level",
        description="Of the document's escalation paths. 0: this channel is told everything, and nobody is called.",
    )
    address: SecretStr = Field(
        title="Address", description="The webhook's URL; for PagerDuty the routing key of the service."
    )
    server: str = Field("", title="Server", description="PagerDuty only, where it is not the public one.")

    @model_validator(mode="after")
    def _calls_somebody(self) -> Channel:
        if self.kind == "pagerduty" and self.level == 0:
            raise ValueError("PagerDuty calls somebody for all it is told: give it a level, and each level a service")
        return self

    @property
    def name(self) -> str:
        """What the channel is called in reports."""
        return f"{self.kind} (level {self.level})" if self.level else self.kind

    def notifier(self) -> Notifier:
        """The client for this channel."""
        match self.kind:
            case "slack":
                return Slack(self.address, name=self.name)
            case "pagerduty" if self.server:
                return PagerDuty(self.address, self.server, name=self.name)
            case "pagerduty":
                return PagerDuty(self.address, name=self.name)
            case "webhook":
                return Webhook(self.address, name=self.name)
