"""What the doctor finds: each finding is of a kind, and the kind says what it means and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.redact import redact


class Health(StrEnum):
    """How bad a finding is."""

    BROKEN = "broken"  # something will not work
    DOUBTFUL = "doubtful"  # it may be meant so
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `site` is empty where it is the installation's; `mend` is a command or setting."""

    kind: str
    severity: Health
    site: str
    looked_at: str
    seen: str
    means: str
    mend: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: what it means for the runbooks, and what mends it, with `{places}` for what is only known of
    the single case."""

    id: str
    severity: Health
    means: str
    mend: str = ""

    def found(self, looked_at: str, seen: str, site: str = "", **places: object) -> Finding:
        """A finding of this kind. Secrets are taken out of what was seen.

        Raises:
            KeyError: a place of `mend` was left out.
        """
        mend = self.mend.format(site=site, **{name: redact(str(place)) for name, place in places.items()})
        shown = " ".join(redact(seen).split())
        return Finding(self.id, self.severity, site, redact(looked_at), shown, self.means, mend)


FINE = Kind("fine", Health.FINE, "nothing stands in the way")


def fine(looked_at: str, seen: str, site: str = "") -> Finding:
    """What was looked at is as it should be."""
    return FINE.found(looked_at, seen, site)


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """The findings with those that differ only in what was looked at made one: they have one cause."""
    merged: dict[tuple[str, str, str, str], Finding] = {}
    for finding in findings:
        key = (finding.kind, finding.site, finding.seen, finding.mend)
        known = merged.get(key)
        if known is None:
            merged[key] = finding
        elif finding.looked_at not in known.looked_at.split("; "):
            merged[key] = replace(known, looked_at=f"{known.looked_at}; {finding.looked_at}")
    return list(merged.values())
