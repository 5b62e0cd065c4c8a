"""Notices of last resort: people are told that the automation itself does not work.

They need neither Prefect nor the ledger: what is down is remembered in this process, and the channels are those that
were known last. Two intakes tell the same twice, with the same key, so that a pager folds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tasks.contacts import Channel
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.outcome import Severity
from tasks.systems.errors import explain

PATIENCE = timedelta(seconds=60)
AGAIN = timedelta(minutes=1)  # a notice that nobody took is tried again

log = logging.getLogger("runbooks.last_resort")


@dataclass(frozen=True, slots=True)
class Outage:
    """Something that does not work, since when, and whether people were told."""

    since: datetime
    why: str
    told: bool = False
    tried_at: datetime | None = None


class LastResort:
    """What is down, and who was told. `channels` says who is to be told about what, at the moment of telling."""

    def __init__(self, channels: Callable[[str], Sequence[Channel]], patience: timedelta = PATIENCE) -> None:
        self._channels, self._patience = channels, patience
        self.outages: dict[str, Outage] = {}

    def report(self, what: str, why: str, now: datetime) -> None:
        """Says how a part is at this moment: `why` it does not work, or empty when it does.

        After a minute without a break people are told, once; when it works again they are told that too.
        """
        known = self.outages.get(what)
        if not why:
            if known is not None:
                del self.outages[what]
                if known.told:
                    self._tell(what, f"works again, after {_for(now - known.since)}", NoticeKind.RESOLVED, now)
            return
        outage = replace(known, why=why) if known else Outage(now, why)
        due = now - outage.since >= self._patience and not outage.told
        if due and (outage.tried_at is None or now - outage.tried_at >= AGAIN):
            told = self._tell(what, f"{why}; since {_for(now - outage.since)}", NoticeKind.AUTOMATION_DOWN, now)
            outage = replace(outage, told=told, tried_at=now)
        self.outages[what] = outage

    def _tell(self, what: str, summary: str, kind: NoticeKind, now: datetime) -> bool:
        """Tells all who are to be told; whether anybody was called, where there is somebody who is."""
        notice = Notice(
            kind=kind,
            title=f"Runbooks: {what}",
            summary=summary,
            severity=Severity.CRITICAL,
            site=what,
            dedup_key=f"runbooks/down/{what}",
            at=now,
        )
        told = [(channel.level, self._send(channel, notice)) for channel in self._channels(what)]
        if not told:
            log.error("%s: %s; nobody could be told: no contacts are known", what, summary)
        calling = [sent for level, sent in told if level] or [sent for _, sent in told]
        return any(calling)

    def _send(self, channel: Channel, notice: Notice) -> bool:
        try:
            channel.notifier().send(notice)
        except Exception as error:  # whatever went wrong, the others are told
            log.error("%s was not reached about %s: %s", channel.name, notice.site, explain(error))
            return False
        log.warning("%s was told: %s: %s", channel.name, notice.title, notice.summary)
        return True


def _for(time: timedelta) -> str:
    """A time in words, in whole seconds or minutes."""
    seconds = time.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
