"""Where an alert belongs: what has to be known of a site to say that an alert concerns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Address:
    """A site's name, its platform's slug, and the labels that it answers to. No secret, so the ledger may keep it."""

    site: str
    platform: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def answers_to(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels concerns the site. A site without labels answers to none."""
        return bool(self.labels) and all(labels.get(key) == value for key, value in self.labels.items())
