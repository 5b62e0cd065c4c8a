"""What can be changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that can be changed, named so that two changes of the same thing have the same target.

    `scope` is what a site limits: the Kubernetes namespace, the Compose project, the database.
    """

    kind: str
    scope: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.scope}/{self.name}"
