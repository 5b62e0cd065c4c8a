"""Alertmanager's webhook payload, version 4."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Label = Annotated[str, StringConstraints(max_length=2048)]


class Alert(BaseModel):
    """One alert of a group."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[Label, Label]
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: datetime
    endsAt: datetime | None = None
    fingerprint: str = Field("", max_length=256)

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")


class Notification(BaseModel):
    """One call of the webhook: the alerts of one group, firing and resolved together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal["4"]
    alerts: list[Alert] = Field(min_length=1, max_length=10_000)
    receiver: str = ""
    groupKey: str = ""
