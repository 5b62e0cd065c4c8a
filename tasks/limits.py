"""What a site allows: limits that hold for every runbook, editable with the site's block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.model.outcome import Trust


class Freeze(BaseModel):
    """A time in which nothing is changed at the site, e.g. a holiday. Giving back goes on."""

    model_config = ConfigDict(frozen=True)

    begins: AwareDatetime = Field(title="Begins")
    ends: AwareDatetime = Field(title="Ends")
    reason: str = Field("", title="Reason")


class Limits(BaseModel):
    """Limits on what runbooks may do at a site."""

    model_config = ConfigDict(frozen=True)

    changes_per_hour: int = Field(20, ge=0, title="Changes per hour, at most (all runbooks together)")
    share_per_run: float = Field(
        0.5,
        gt=0,
        le=1,
        title="Members of one group that one incident may act on, at most (share)",
        description="For example running tasks that are cancelled, or pods that are replaced at one time.",
    )
    cooldown_minutes: float = Field(
        10, ge=0, title="The same disruptive change to a target again after (minutes), at the earliest"
    )
    max_sick_share: float = Field(
        0.5,
        gt=0,
        le=1,
        title="Members that may be sick before nothing disruptive is done any more (share)",
        description="Above it the cause is likely elsewhere, and a person is called.",
    )
    tolerated_owners: list[str] = Field(
        default_factory=list,
        title="Owners that do not put the old state back",
        description="For example Helm, where nobody upgrades by schedule. Empty: whatever is owned is left alone.",
    )
    freezes: list[Freeze] = Field(default_factory=list, title="Change freezes")

    @property
    def cooldown(self) -> timedelta:
        return timedelta(minutes=self.cooldown_minutes)

    def freeze_at(self, now: datetime) -> Freeze | None:
        """The freeze that holds at this moment."""
        return next((freeze for freeze in self.freezes if freeze.begins <= now < freeze.ends), None)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one run may do: its trust level, and where and how far.

    `ceilings` are by what is counted (`replicas`, `workers`). `floors` are by the target's name: so many members must
    be left; a target that is not named keeps at least one.
    """

    trust: Trust
    scopes: frozenset[str]
    limits: Limits = field(default_factory=lambda: Limits.model_validate({}))
    ceilings: Mapping[str, int] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)
