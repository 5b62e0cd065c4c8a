"""The judge: holds every write that the system took against what was the case when the run asked for it.

The judge reads the ledger's rows and the plant's own state, and asks none of the production code that is to be judged.
Each rule has a name; a broken one is written down with its name and never raised, because production code would catch
it as trouble of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks import guards
from tasks.facts import LiveFacts
from tasks.guards import Asked
from tasks.ledger import Answer, ChangeState, Ledger
from tasks.ledger.changes import Changes
from tasks.model.change import Effect, Purpose
from tasks.model.claim import Bound
from tasks.model.outcome import Trust
from tasks.model.target import Target
from tests.properties import processes
from tests.properties.clock import Clock
from tests.properties.plant import FIELDS, RUNBOOKS, Plant, healthy
from tests.properties.world import BATCH, PERSON, ROLLOUT, World, Write

HEALTHY_FOR = 240.0
"""Seconds for which a system must have been healthy before a write counts against a run that slept after its last look.
It may heal while the run is halted for just less than its lease."""


@dataclass(frozen=True)
class Broken:
    """A rule that did not hold."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


@dataclass(frozen=True)
class Moment:
    """What was the case when a run put a change before the guards."""

    asked: Asked
    steady: float
    now: datetime
    paused: bool
    taken_by: str
    incident_of: str | None  # the run that had the incident
    approved: bool
    made_within_the_hour: int
    alike: tuple[datetime, ...]  # when the same was done on behalf of other incidents


@dataclass(frozen=True)
class Intent:
    """What was the case when a run had written its intent down."""

    steady: float
    purpose: Purpose
    target: Target
    field: str
    holder: str | None
    in_force: bool
    epoch: int


@dataclass
class Judge:
    """Sees all; says what was broken in `found`."""

    world: World
    plant: Plant
    ledger: Ledger
    clock: Clock
    found: list[Broken] = field(default_factory=list)
    paused: Callable[[], bool] = lambda: False
    moments: dict[str, Moment] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    epochs: dict[Target, int] = field(default_factory=dict)
    ours: dict[Target, set[int]] = field(default_factory=dict)  # what we ever wanted to write to a number
    healthy_since: dict[str, float | None] = field(default_factory=dict)
    written: list[tuple[Write, Purpose, datetime]] = field(default_factory=list)
    matters: dict[str, str] = field(default_factory=dict)  # what each run is about

    def attend(self, patch: pytest.MonkeyPatch) -> None:
        """Takes its seat: sees what is put before the guards, what is intended and what is written."""
        asks, intends = guards.check, Changes.intend

        def check(asked: Asked) -> None:
            self._before_guards(asked)
            asks(asked)

        def intend(changes: Changes, run: str, *args: Any, **more: Any) -> int:
            number = intends(changes, run, *args, **more)
            self._intended(run, *args[2:6])
            return number

        patch.setattr("tasks.case.check", check)
        patch.setattr(Changes, "intend", intend)
        self.world.written.append(self._judge)
        self.world.host.passes.append(lambda seconds: self._how_healthy())

    # ---- what it sees ----

    def _how_healthy(self) -> None:
        now = self.world.now()
        for runbook in RUNBOOKS:
            since = self.healthy_since.get(runbook)
            well = healthy(runbook, now)
            self.healthy_since[runbook] = (self.clock.steady if since is None else since) if well else None

    def _before_guards(self, asked: Asked) -> None:
        process = processes.current()
        if process is None:
            return
        change, now, mine = asked.change, self.clock.now(), self._matter(process.id)
        incident = self.ledger.incidents.get(mine) if mine != process.id else None
        theirs = (
            asked.facts.incident if isinstance(asked.facts, LiveFacts) else None
        )  # a restore's, of which it has none
        open_one = self.ledger.incidents.get(theirs) if theirs else None
        self.moments[process.id] = Moment(
            asked,
            self.clock.steady,
            now,
            self.paused(),
            (open_one.taken_by or "") if open_one and open_one.resolved_at is None else "",
            incident.claimed_by if incident else None,
            self._approved(asked, mine),
            sum(purpose is Purpose.CHANGE and now - at < timedelta(hours=1) for _, purpose, at in self.written),
            tuple(
                at
                for write, purpose, at in self.written
                if (write.target, write.field) == (change.target, change.field)
                and purpose is Purpose.CHANGE
                and self._matter(write.by) != mine
            ),
        )

    def _matter(self, run: str) -> str:
        """What a run is about: its incident, or itself."""
        if run not in self.matters:
            record = self.ledger.runs.get(run)
            self.matters[run] = (record.incident if record else None) or run
        return self.matters[run]

    def _asks(self, asked: Asked) -> bool:
        return bool(asked.change.asks) or asked.change.effect is Effect.DESTRUCTIVE or self.plant.trust is not Trust.ACT

    def _approved(self, asked: Asked, mine: str) -> bool:
        """Whether a person approved just this, for this incident, by what the person was shown."""
        if not self._asks(asked):
            return False
        what, to = f"{asked.change.target}, {asked.change.field}: ", f" -> {asked.diff.after} ("
        return any(
            row.answer is Answer.APPROVED
            and row.expires_at > self.clock.now()
            and (row.incident or row.run) == mine
            and any(shown.startswith(what) and to in shown for shown in row.plan)
            for row in self.ledger.approvals._read()
        )

    def _intended(self, run: str, option: str, purpose: Purpose, change: Any, diff: Any) -> None:
        lock = self._lock(change.target)
        in_force = lock is not None and lock.run is not None and lock.expires_at > self.clock.now()
        holder, epoch = (lock.run, lock.epoch) if lock else (None, 0)
        self.intents[run] = Intent(self.clock.steady, purpose, change.target, change.field, holder, in_force, epoch)
        if diff.draft is not None:
            (level,) = diff.draft.after.values()
            self.ours.setdefault(change.target, set()).add(level)

    def _lock(self, target: Target) -> Any:
        from tasks.ledger.columns import target_is
        from tasks.ledger.tables import locks

        with self.ledger.database.reading() as tx:
            return tx.execute(locks.select().where(target_is(locks, target))).one_or_none()

    # ---- its rules ----

    def _judge(self, write: Write) -> None:
        intent, moment = self.intents.pop(write.by, None), self.moments.pop(write.by, None)
        say = self._say(write)
        if intent is None or (intent.target, intent.field) != (write.target, write.field):
            say("written down before", "nothing in the ledger announces it")
            return
        if not any(
            (row.target, row.field, row.state) == (write.target, write.field, ChangeState.INTENDED)
            for row in self.ledger.changes.of_run(write.by)
        ):
            say("written down before", "the ledger has no intent")
        self._judge_the_lock(write, intent)
        if moment is None or (moment.asked.change.target, moment.asked.change.field) != (write.target, write.field):
            say("guards are asked", "none was asked")
        else:
            self._judge_the_moment(write, intent, moment)
            if intent.purpose is Purpose.CHANGE:
                self._judge_the_change(write, moment)
            else:
                self._judge_giving_back(write, intent)
        self.written.append((write, intent.purpose, self.clock.now()))

    def _say(self, write: Write) -> Callable[[str, str], None]:
        def say(rule: str, why: str) -> None:
            to = f"{write.field} of {write.target.name} {write.before} -> {write.after} by {write.by[:8]}"
            self.found.append(Broken(rule, f"{to}: {why}"))

        return say

    def _judge_the_lock(self, write: Write, intent: Intent) -> None:
        say = self._say(write)
        if intent.holder != write.by or not intent.in_force:
            say("one writer per target", f"the lock was {intent.holder and intent.holder[:8]}'s when it was intended")
        if write.asked - intent.steady > self.plant.pace.lease_seconds / 2 + 1:
            say("no late write", f"it was intended {write.asked - intent.steady:.0f} s before")
        if intent.epoch < self.epochs.get(write.target, 0):
            say("one writer per target", "a later holder has written already")
        self.epochs[write.target] = max(intent.epoch, self.epochs.get(write.target, 0))

    def _judge_the_moment(self, write: Write, intent: Intent, moment: Moment) -> None:
        say, asked = self._say(write), moment.asked
        if moment.paused:
            say("no write while paused", "it was paused when the guards were asked")
        if moment.taken_by:
            say("a person has it", f"{moment.taken_by} had the incident")
        if moment.incident_of is not None and moment.incident_of != write.by:
            say("one run per incident", f"{moment.incident_of[:8]} had the incident")
        if write.target.scope not in self.plant.scopes():
            say("inside the scope", str(write.target))
        if asked.change.effect is Effect.REVERSIBLE:
            return
        around = self.world.surroundings(write.target, rolls_out=write.field == ROLLOUT)
        if around.takes_away and around.budget == 0:
            say("the disruption budget", "it lets no pod go")
        if around.rollout:
            say("no disruption in a rollout", around.rollout)
        if around.healthy is not None and around.wanted:
            if 1 - around.healthy / around.wanted > self.plant.limits.max_sick_share:
                say("no disruption of the sick", f"{around.healthy} of {around.wanted} are healthy")
            if around.takes_away and around.healthy < 2:
                say("never below the floor", f"{around.healthy} are healthy, and one goes")

    def _judge_the_change(self, write: Write, moment: Moment) -> None:
        say, change, limits = self._say(write), moment.asked.change, self.plant.limits
        run = self.ledger.runs.get(write.by)
        if self.plant.trust in (Trust.OBSERVE, Trust.PLAN):
            say("trust", f"the site trusts to {self.plant.trust}")
        if self._asks(moment.asked) and not moment.approved:
            say("approved", "nobody approved this")
        if FIELDS.get(write.target) == write.field:
            self._judge_the_number(write)
            if moment.asked.planned != str(write.after):
                say("as planned", f"the plan said {moment.asked.planned}")
        if limits.freeze_at(moment.now):
            say("nothing while frozen", "a freeze holds")
        if self.world.things[write.target].owner:
            say("nothing that others own", self.world.things[write.target].owner)
        if moment.made_within_the_hour > limits.changes_per_hour:  # another target's may be under way: one more
            say("so many per hour", f"{moment.made_within_the_hour} were made")
        if change.effect is not Effect.REVERSIBLE and any(moment.now - at < limits.cooldown for at in moment.alike):
            say("cooling down", f"the same was done at {moment.alike[-1]}")
        if write.field == BATCH and any(b.number == write.after and b.sent for b in self.world.batches):
            say("once", f"batch {write.after} was sent already")
        if run is not None:
            self._judge_the_need(write, run.runbook)

    def _judge_the_number(self, write: Write) -> None:
        ceiling = self.plant.ceilings()[write.field]
        floor = self.plant.floors().get(write.target.name, 1)
        if write.after > ceiling or write.after < min(floor, write.before):
            self._say(write)("never below a floor or above a ceiling", f"{floor} to {ceiling} are allowed")

    def _judge_the_need(self, write: Write, runbook: str) -> None:
        say, name = self._say(write), "letters" if runbook == "letters_lost" else "queue"
        looked, seen = self.world.looks.get(write.by, (0.0, {}))
        if name not in seen:
            say("a healthy system is unwritten", "it was never looked at")
        elif healthy(runbook, {"queue": 0, "letters": 0, **seen}):
            say("a healthy system is unwritten", "the last look found it healthy")
        self._how_healthy()
        since, process = self.healthy_since[runbook], processes.current()
        slept = process is not None and process.woke_at is not None and process.woke_at > looked
        if slept and since is not None and self.clock.steady - since > HEALTHY_FOR:
            say("a healthy system is unwritten", f"it has been healthy for {self.clock.steady - since:.0f} s")

    def _judge_giving_back(self, write: Write, intent: Intent) -> None:
        if FIELDS.get(write.target) != write.field:
            return  # what follows when a number was given back
        say = self._say(write)
        if write.replaced == PERSON and write.before not in self.ours.get(write.target, ()):
            say("a person's value stays", "a person had set it")
        holding = self.ledger.claims.holding("plant", write.target, write.field)
        if holding is None:
            say("claims", "nothing is claimed")
            return
        (baseline,) = holding.baseline.values()
        floors = [c.claim.value for c in holding.claims if c.claim.bound is Bound.AT_LEAST]
        ceilings = [c.claim.value for c in holding.claims if c.claim.bound is Bound.AT_MOST]
        if not min([baseline, write.before, *ceilings]) <= write.after <= max([baseline, write.before, *floors]):
            say("claims", f"between {write.before} and the baseline {baseline} was to be given back")
