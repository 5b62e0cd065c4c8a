"""Alertmanager's webhook payload, version 4."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _within_reason(moment: datetime) -> datetime:
    """In UTC, and not at an end of time where a time zone would lead out of it: Alertmanager says 0001-01-01 where it
    knows of no end."""
    if moment.year < _EARLIEST.year:
        return _EARLIEST
    return _LATEST if moment.year >= _LATEST.year else moment.astimezone(UTC)


Label = Annotated[str, StringConstraints(max_length=2048)]
Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]


class Alert(BaseModel):
    """One alert of a group."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[Label, Label]
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: Moment
    endsAt: Moment | None = None
    fingerprint: str = Field("", max_length=256)

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def summary(self) -> str:
        """What it says of itself, or its name."""
        return self.annotations.get("summary") or self.name


class Notification(BaseModel):
    """One call of the webhook: the alerts of one group, firing and resolved together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal["4"]
    alerts: list[Alert] = Field(min_length=1, max_length=10_000)
    receiver: str = ""
    groupKey: str = ""
