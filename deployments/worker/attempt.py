"""One run, executed by one child: watched until it ends, and its end told to Prefect."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from deployments.worker.endings import Cause, Ending, to_be_told
from deployments.worker.orders import Word
from deployments.worker.process import Child
from deployments.worker.server import Server, until_answered

END_SECONDS = 30.0  # for a run that was told to end; then it is killed

log = logging.getLogger("runbooks.worker")


@dataclass
class Attempt:
    """A run at work. `mark` is what its state bears while it is ours; `cause` is set by whoever makes it end."""

    run: FlowRun
    child: Child
    mark: str = ""
    began: float = field(default_factory=time.monotonic)
    cause: Cause = Cause.ITSELF
    detail: str = ""
    _told_to_end: float | None = None

    def end(self, cause: Cause) -> None:
        """Tells the run to end, once; the first cause counts."""
        if self.cause is Cause.ITSELF and self.child.done_at is None:
            self.cause = cause
            self._told_to_end = time.monotonic()
            self.child.say(Word.CANCEL if cause is Cause.CANCELLED else Word.STOP)

    def kill(self, cause: Cause, detail: str) -> None:
        """Ends the process at once."""
        if self.cause is Cause.ITSELF:
            self.cause, self.detail = cause, detail
        log.error("run %s (%s): %s, and is killed", self.run.name, str(self.run.id)[:8], detail)
        self.child.process.kill()

    def look(self, silent: float, longest: float) -> None:
        """Kills the process when it gave no sign of life for `silent` seconds, when it is at work for more than
        `longest` seconds, or when it did not end although it should have. A spare that is only about to get its order
        is left alone: it has been silent for as long as it waited."""
        if not self.child.handed:
            return
        now = time.monotonic()
        quiet, age = now - self.child.heard_at, now - self.began
        if self._told_to_end is not None and now - self._told_to_end > END_SECONDS:
            self.kill(self.cause, f"did not end within {END_SECONDS:.0f} s of being told to")
        elif self.child.done_at is not None:
            if now - self.child.done_at > END_SECONDS:
                self.kill(self.cause, f"is over, but its process did not end within {END_SECONDS:.0f} s")
        elif quiet > silent:
            self.kill(Cause.HUNG, f"gave no sign of life for {quiet:.0f} s")
        elif age > longest:
            self.kill(Cause.TOO_LONG, f"was at work for {age:.0f} s")

    async def ended(self) -> Ending:
        """Waits for the end of the process."""
        code = await self.child.process.ended()
        return Ending(self.cause, code, self.child.process.pid, self.detail)


async def tell(
    server: Server, run: UUID, processes: Collection[str | None], ending: Ending, worker: str, mark: str = ""
) -> None:
    """Tells Prefect about the end of a process, as soon as it can be reached, if it does not know yet.

    A run that another process executes by now is not touched: one that is not among `processes`, or that was granted
    to another worker, whose state bears another mark.
    """

    async def once() -> None:
        now = await server.read(run)
        if now is None or now.infrastructure_pid not in processes:
            return
        if mark and now.state is not None and now.state.is_pending() and now.state.message != mark:
            return
        state = to_be_told(ending, now.state, worker)
        if state is not None:
            await server.tell(run, state)
            log.warning("run %s (%s) is %s: %s", now.name, str(run)[:8], state.name, state.message)

    await until_answered(f"run {str(run)[:8]}: its end cannot be told to Prefect yet", once)
