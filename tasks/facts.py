"""What the guards have to know beyond the target, read from the ledger and the kill switch when it is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tasks import switch
from tasks.ledger import ChangeRecord, ChangeState, Held, Ledger, LockLost
from tasks.model.change import Change
from tasks.model.claim import Draft
from tasks.model.outcome import Severity
from tasks.model.target import Target
from tasks.systems.errors import is_transient

AWAY_SECONDS = 30.0  # the longest that a run waits for a Prefect server that does not answer
ASK_AGAIN_SECONDS = 1.0
_MAY_HAVE_ARRIVED = (ChangeState.INTENDED, ChangeState.APPLIED, ChangeState.IN_EFFECT, ChangeState.EFFECT_UNKNOWN)


@dataclass
class Pulse:
    """Whether the process of a run was awake all the time. Both in seconds of the steady clock: how long it may be
    halted, and when its pulse was felt last."""

    most: float
    felt_at: float
    halted: float = 0.0

    def feel(self) -> str:
        """For how long the process was halted, if it was too long, or the empty string. Felt at every heartbeat."""
        now = time.monotonic()
        self.halted, self.felt_at = max(self.halted, now - self.felt_at), now
        return f"this run was halted for {self.halted:.0f} s: what it knew is old" if self.halted > self.most else ""


@dataclass
class LiveFacts:
    """The facts for one run. `held` are the locks that it took; `pulse` is there while its heart beats."""

    ledger: Ledger
    site: str
    run: str
    incident: str | None
    cooldown: timedelta
    held: list[Held] = field(default_factory=list)
    claims_incident: bool = True  # a restore acts on behalf of an incident that another run had
    pulse: Pulse | None = None
    told_to_end: bool = False  # by a person in Prefect, or by the worker
    away_since: float | None = None  # when Prefect first gave no answer, in seconds of the steady clock

    def now(self) -> datetime:
        return self.ledger.now()

    def paused(self) -> str:
        while True:
            try:
                why = switch.paused(self.ledger, self.site)
            except Exception as error:
                if not (is_transient(error) and self._waits_for_prefect()):
                    raise
                time.sleep(ASK_AGAIN_SECONDS)
            else:
                self.away_since = None
                return why

    def _waits_for_prefect(self) -> bool:
        """A server that is started again is back within seconds, and the run then goes on; to give up at once would
        call a person for nothing. But there is only so much patience, however many writes are still to be asked for."""
        if self.away_since is None:
            self.away_since = time.monotonic()
        return not self.told_to_end and time.monotonic() - self.away_since < AWAY_SECONDS

    def taken_by(self) -> str:
        incident = self.ledger.incidents.get(self.incident) if self.incident else None
        # Once it is over, what was changed on its behalf may be given back; nobody can hand it back any more.
        return (incident.taken_by or "") if incident and incident.resolved_at is None else ""

    def approved(self, key: str) -> bool:
        return self.ledger.approvals.granted(key)

    def other_holder(self, target: Target) -> tuple[str, Severity] | None:
        lock = self.ledger.locks.of(self.site, target)
        if lock is None or lock.run == self.run or lock.expires_at <= self.ledger.now():
            return None
        return lock.runbook, lock.severity

    def lost(self) -> str:
        if self.told_to_end:
            return "this run was told to end"
        if self.pulse is not None and (halted := self.pulse.feel()):
            return halted  # also where nothing was held: what was seen before is no reason to act now
        incident = self.ledger.incidents.get(self.incident) if self.incident else None
        if incident is not None and incident.claimed_by not in (None, self.run) and self.claims_incident:
            return "the incident was given to another run"
        try:
            self.ledger.locks.check(self.held, self.run)
        except LockLost as lost:
            return str(lost)
        return ""

    def last_done(self, change: Change) -> datetime | None:
        since = self.now() - self.cooldown
        records = self.ledger.changes.of_target(self.site, change.target, change.field, since)
        return max((r.intended_at for r in records if not self._ours(r)), default=None)

    def done_before(self, change: Change) -> datetime | None:
        return max((r.intended_at for r in self._earlier(change)), default=None)

    def _earlier(self, change: Change) -> Sequence[ChangeRecord]:
        same = (change.target, change.field, change.wanted)
        return [r for r in self._mine() if (r.target, r.field, r.wanted) == same and r.state in _MAY_HAVE_ARRIVED]

    def _mine(self) -> Sequence[ChangeRecord]:
        """The changes of this run, and of others on behalf of its incident. (A restore's own are on behalf of none.)"""
        changes = self.ledger.changes
        others = changes.of_incident(self.incident) if self.incident else []
        return [*(r for r in others if r.run != self.run), *changes.of_run(self.run)]

    def _ours(self, record: ChangeRecord) -> bool:
        return record.run == self.run or (self.incident is not None and record.incident == self.incident)

    def changes_since(self, moment: datetime, but: Change) -> int:
        under_way = [r for r in self._earlier(but) if r.run == self.run and r.state is ChangeState.INTENDED]
        return self.ledger.changes.count(self.site, moment) - sum(r.intended_at >= moment for r in under_way)

    def members_taken(self, group: str, but: Target) -> int:
        acted = {r.target for r in self._mine() if r.group == group and r.state in _MAY_HAVE_ARRIVED}
        return len(acted - {but})

    def written(self, draft: Draft) -> bool:
        return self.ledger.claims.ours(self.site, draft.target, draft.field, draft.before)
