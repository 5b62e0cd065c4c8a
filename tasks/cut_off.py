"""The ledger is lost in the middle of a run: no change is begun any more, and people are called without it.

Whom others have called cannot be looked up then, and what is told here cannot be written down. So level 1 may be called
twice about the same; a pager folds that by the key.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, TypeVar

from prefect import State
from prefect.states import Failed

from tasks.case import Case
from tasks.contacts import Channel
from tasks.escalate import NOBODY, Matter, run_page
from tasks.installation import NO_LEDGER
from tasks.ledger import LedgerUnavailable
from tasks.model.escalation import Notice, NoticeKind
from tasks.model.evidence import Unknown
from tasks.platform import Platform
from tasks.redact import redact
from tasks.systems.errors import explain

P = TypeVar("P", bound=Platform)
F = TypeVar("F")

log = logging.getLogger("runbooks.cut_off")


def cut_off(case: Case[P, F], lost: LedgerUnavailable) -> State[Any]:
    """Ends a run that cannot go on, and calls level 1: what it may have changed is in the notice, and in its ledger
    entry, which was made before the change."""
    changed = "; ".join(f"{at:%H:%M:%S} {what}" for at, what in case.moments)
    summary = f"this run is cut off, and changes nothing any more: {lost}"
    incident = case.incident.id if case.incident else ""
    matter = Matter(case.site, case.runbook, case.severity, incident, case.run_id)
    notice = Notice(
        kind=NoticeKind.CRASHED,
        title=f"{case.runbook.title} at {case.site}",
        summary=summary,
        severity=case.severity,
        site=case.site,
        dedup_key=matter.key,
        at=datetime.now(UTC),
        incident=incident,
        runbook=case.runbook.id,
        link=run_page(case.run_id),
        facts=(("changed", changed or "nothing that is known: a write that was under way may have arrived"),),
        level=case.runbook.ladder.level(1),
    )
    told = [_tell(channel, notice) for channel in case.platform.contacts if channel.level in (0, 1)]
    message = redact(f"{summary}; {'; '.join(told) or NOBODY}")
    log.error("%s", message)
    return Failed(name=NO_LEDGER, message=message)


def _tell(channel: Channel, notice: Notice) -> str:
    try:
        return f"{channel.name}: {channel.notifier().send(notice)}"
    except Exception as error:  # whatever went wrong, the others are told
        return f"{channel.name} was not reached: {Unknown.because(explain(error)).reason}"
