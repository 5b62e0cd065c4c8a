"""Changes of the plant that must not be made twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.model.change import Diff, Effect, Happened, PreconditionFailed
from tasks.model.target import Target
from tests.properties.world import BATCH, LETTERS, PODS, POOL, ROLLOUT, Batch, Thing, World


@dataclass(frozen=True)
class Resend:
    """A batch of dead letters is sent again. Sent twice, its work is done twice."""

    world: World
    batch: int
    asks: str = ""
    effect: Effect = Effect.DISRUPTIVE
    restore: str = "nothing to give back"
    target: Target = LETTERS
    field: str = BATCH

    @property
    def wanted(self) -> str:
        return f"batch {self.batch} sent again"

    def _batch(self) -> Batch:
        return next(batch for batch in self.world.batches if batch.number == self.batch)

    def diff(self) -> Diff:
        thing = self.world.thing(self.target)
        if self.world.target_tells and self._batch().sent:
            return Diff("sent", "sent")
        around = self.world.surroundings(self.target)
        return Diff(f"batch {self.batch} waits", f"batch {self.batch} sent", str(thing.version), around=around)

    def happened(self, since: datetime) -> Happened:
        self.world.thing(self.target)
        if not self.world.target_tells:
            return Happened.UNKNOWN
        return Happened.YES if self._batch().sent else Happened.NO

    def apply(self, diff: Diff) -> None:
        def carry_out(thing: Thing) -> None:
            self._batch().sent.append(self.world.host.clock.steady)

        self.world.write(self.target, self.field, self.batch, diff.version, carry_out)

    def verify(self, within: timedelta) -> str:
        self.world.host.sleep(5)
        return "sent"


@dataclass(frozen=True)
class Restart:
    """New pods, which read the size of the pool as it is.

    `since` identifies the restart: pods that were restarted at or after it need no other. Without it, it is needed
    when the pods run with another size than the one that is set.
    """

    world: World
    since: datetime | None = None
    asks: str = ""
    effect: Effect = Effect.DISRUPTIVE
    restore: str = "nothing to give back"
    target: Target = PODS
    field: str = ROLLOUT

    @property
    def wanted(self) -> str:
        return "restarted, to read the pool's size" + ("" if self.since else " after it was given back")

    def _done(self, at: datetime | None) -> bool:
        if self.since is None:
            return self.world.running_workers == self.world.things[POOL].value
        return at is not None and at >= self.since

    def diff(self) -> Diff:
        thing, at = self.world.thing(self.target), self.world.restarted_at
        if self._done(at):
            return Diff("restarted", "restarted")
        if thing.value == 0:
            raise PreconditionFailed("there are no pods")
        around = self.world.surroundings(self.target, rolls_out=True)
        return Diff(f"restarted at {at}", "new pods", str(thing.version), around=around)

    def happened(self, since: datetime) -> Happened:
        self.world.thing(self.target)
        at = self.world.restarted_at
        return Happened.YES if at and at >= min(since, self.since or since) else Happened.NO

    def apply(self, diff: Diff) -> None:
        def carry_out(thing: Thing) -> None:
            now = self.world.host.clock.now().astimezone(UTC)
            self.world.restarted_at = max(now, self.since or now)
            self.world.running_workers = self.world.things[POOL].value

        self.world.write(self.target, self.field, 0, diff.version, carry_out)

    def verify(self, within: timedelta) -> str:
        self.world.host.sleep(5)
        return "new pods"
