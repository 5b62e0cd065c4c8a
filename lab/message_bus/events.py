"""Events as they travel through the Redis list `event:queue`."""

from __future__ import annotations

import json
import random
import time
import uuid
from dataclasses import dataclass

EVENT_QUEUE = "event:queue"
EVENT_TYPES = ("user.created", "order.placed", "record.changed", "report.requested")
EVENT_SHARES = (0.4, 0.3, 0.2, 0.1)


class MalformedEvent(ValueError):
    """What came through the queue is not an event."""


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    id: str
    type: str
    occurred_at: float
    """Unix time in seconds."""
    depends_on: str | None = None
    """The id of an event that has to be dealt with first."""
    hangs: bool = False
    """Whether it carries something on which its task never ends."""

    @classmethod
    def happening(cls, *, depends_on: str | None = None, hangs: bool = False) -> Event:
        """A new event of a type drawn from the usual mix."""
        (kind,) = random.choices(EVENT_TYPES, EVENT_SHARES)  # noqa: S311 - no secret
        return cls(uuid.uuid4().hex, kind, time.time(), depends_on, hangs)

    def encode(self) -> str:
        """The event as JSON."""
        document = {"id": self.id, "event_type": self.type, "occurred_at": self.occurred_at}
        special = {"depends_on": self.depends_on, "hangs": self.hangs}
        return json.dumps(document | {name: value for name, value in special.items() if value})

    @classmethod
    def decode(cls, text: str) -> Event:
        """Read an event.

        Raises:
            MalformedEvent: it is no JSON object, or lacks a field.
        """
        try:
            document = json.loads(text)
            return cls(
                str(document["id"]),
                str(document["event_type"]),
                float(document["occurred_at"]),
                document.get("depends_on"),
                bool(document.get("hangs")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedEvent(f"event rejected by validation: {error!r}") from error
