"""Changes that are only judged, and facts that are simply said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tasks.model.change import Change, Happened
from tasks.model.claim import Bound, Claim, Draft
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tests.wishes import ORCHESTRATION, Wish

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DRAFT = Draft(ORCHESTRATION, "replicas", Claim(Bound.AT_LEAST, 5), {"replicas": 2}, {"replicas": 5})


@dataclass(frozen=True)
class OnceWish(Wish):
    """One that must not be made twice."""

    happened_says: Happened | Exception = Happened.UNKNOWN

    def happened(self, since: datetime) -> Happened:
        """What the target says, or how it fails to."""
        if isinstance(self.happened_says, Exception):
            raise self.happened_says
        return self.happened_says


class PlainFacts:
    """What the guards are told: nothing that stands against a change, apart from what is said. An exception that is
    said is raised."""

    def __init__(self, **said: Any) -> None:
        self._said: dict[str, Any] = {
            "now": NOW,
            "paused": "",
            "taken_by": "",
            "approved": False,
            "other_holder": None,
            "lost": "",
            "last_done": None,
            "done_before": None,
            "changes_since": 0,
            "members_taken": 0,
            "written": True,
        }
        assert set(said) <= set(self._said), "guards ask for nothing else"
        self._said |= said

    def _tell(self, what: str) -> Any:
        if isinstance(self._said[what], Exception):
            raise self._said[what]
        return self._said[what]

    def now(self) -> datetime:
        found: datetime = self._tell("now")
        return found

    def paused(self) -> str:
        return str(self._tell("paused"))

    def taken_by(self) -> str:
        return str(self._tell("taken_by"))

    def approved(self, key: str) -> bool:
        return bool(self._tell("approved"))

    def other_holder(self, target: Target) -> tuple[str, Severity] | None:
        found: tuple[str, Severity] | None = self._tell("other_holder")
        return found

    def lost(self) -> str:
        return str(self._tell("lost"))

    def last_done(self, change: Change) -> datetime | None:
        found: datetime | None = self._tell("last_done")
        return found

    def done_before(self, change: Change) -> datetime | None:
        found: datetime | None = self._tell("done_before")
        return found

    def changes_since(self, moment: datetime, but: Change) -> int:
        return int(self._tell("changes_since"))

    def members_taken(self, group: str, but: Target) -> int:
        return int(self._tell("members_taken"))

    def written(self, draft: Draft) -> bool:
        return bool(self._tell("written"))
