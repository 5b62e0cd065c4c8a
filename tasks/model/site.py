"""Where an alert belongs: what has to be known of a site to say that an alert concerns it, or only our own doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.model.claim import Bound


@dataclass(frozen=True, slots=True)
class SideEffect:
    """An alert that says no more than what claims of ours bring about on purpose: that a paused event source is silent.

    It is explained by a claim with this `bound` on one of the `fields` of one of the `targets`, by name; of the one
    that the alert itself names, where it bears the `label`. After the claim was given back the alert has `fades`
    seconds to end.
    """

    alert: str
    targets: tuple[str, ...]
    fields: tuple[str, ...]
    bound: Bound
    label: str
    fades: float


@dataclass(frozen=True, slots=True)
class Address:
    """A site's name, its platform's slug, the labels that it answers to, and which alerts may be our own doing there.

    No secret is in it, so the ledger may keep it.
    """

    site: str
    platform: str
    labels: Mapping[str, str] = field(default_factory=dict)
    side_effects: tuple[SideEffect, ...] = ()

    def answers_to(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels concerns the site. A site without labels answers to none."""
        return bool(self.labels) and all(labels.get(key) == value for key, value in self.labels.items())
