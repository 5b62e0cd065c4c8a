"""The parameters that every runbook flow takes, as people see them in the form of the Prefect UI."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from tasks.model.outcome import Trust


def shown(title: str, description: str, **other: Any) -> Any:
    """How a parameter appears in the form. Prefect overrides a field's own title with the bare name, but not this."""
    return Field(json_schema_extra={"title": title, "description": description, **other})


def for_this_run(title: str, at_least: int) -> Any:
    """A number that is usually left empty, None: the site's holds. For the form it is a plain number: of a number or
    nothing Prefect makes a switch between types."""
    return Field(None, ge=at_least, title=title, json_schema_extra=_plain_number)


def _plain_number(schema: dict[str, Any]) -> None:
    (number,) = (kind for kind in schema.pop("anyOf") if kind["type"] != "null")
    schema.pop("default")
    schema.update(number)


class HowFar(StrEnum):
    """A trust level for one run, or the site's own."""

    AS_THE_SITE_SAYS = "as the site says"
    OBSERVE = Trust.OBSERVE.value
    PLAN = Trust.PLAN.value
    APPROVE = Trust.APPROVE.value
    ACT = Trust.ACT.value

    @property
    def trust(self) -> Trust | None:
        """The level, or None where the site decides."""
        return None if self is HowFar.AS_THE_SITE_SAYS else Trust(self.value)


Site = Annotated[str, shown("Site", "The name of the saved block that describes the site (Blocks in the menu).")]
IncidentId = Annotated[
    str, shown("Incident", "Filled in when an alert starts the run. Leave it empty in a manual run.")
]
TrustLevel = Annotated[
    HowFar,
    shown(
        "How far to go",
        "observe: diagnose only. plan: show the exact changes, make none. approve: make the changes that a person "
        "approves. act: make changes unasked, except those that always ask. Never further than the site allows.",
    ),
]
# Nothing is filled in: what the form showed as given it would send.
NUMBERS = shown("Numbers", "For this run only. Left empty: as the site says.", default={})
