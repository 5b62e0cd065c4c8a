"""Spares: children that were forked in advance.

The template that they come from is renewed when the code has changed or when it has grown. Until the new one is ready
the spares of the old one serve on; runs are never touched. A template that cannot import the code is told in one
sentence, and tried again: later and later, and at once when the code changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from deployments.worker.again import again, every
from deployments.worker.code import OWN, Code, Fingerprint
from deployments.worker.process import Child, NoChild, Watched
from deployments.worker.template import NoTemplate, Template
from tasks.systems.errors import explain

LOOK_SECONDS = 1.0  # between two looks at the code
END_SECONDS = 5.0  # for processes that are not needed any more
LET_BEGIN_SECONDS = 1.0  # a run that has just begun is not disturbed by forking its successor
TRY_AGAIN_SECONDS = (1.0, 60.0)  # after the first failure, and at most

log = logging.getLogger("runbooks.worker")


class Spares:
    """Keeps `count` children of this code ready. `template` is what they are forked from."""

    def __init__(self, count: int, code: Code = OWN) -> None:
        self._count = count
        self._code = code
        self._ready: asyncio.Queue[Child] = asyncio.Queue()
        self._waiting = 0
        self._asked = asyncio.Event()
        self.template: Template | None = None
        self._back_off = BackOff()

    async def take(self) -> Child:
        """A spare, as soon as there is one."""
        self._waiting += 1
        self._asked.set()
        try:
            while not (child := await self._ready.get()).process.alive:
                child.dismiss()
            return child
        finally:
            self._waiting -= 1
            self._asked.set()

    def put_back(self, child: Child) -> None:
        """Takes a spare back that was not needed after all."""
        self._ready.put_nowait(child)

    async def keep_template(self) -> None:
        """Keeps a template of the code as it is now, for ever."""
        await again("the template cannot be looked after", self._look, every(LOOK_SECONDS))

    async def _look(self) -> None:
        now = await asyncio.to_thread(self._code.fingerprint)
        why = self.template.why_renew(now) if self.template else "a template is needed"
        if why and self._back_off.over(now):
            await self._renew(why, now)

    async def _renew(self, why: str, now: Fingerprint) -> None:
        log.info("%s: importing the runbooks", why)
        try:
            new = await Template.start(self._code)
        except Exception as error:  # also that no process can be started: an update may just be replacing Python
            seconds = self._back_off.failed(now)
            said = error if isinstance(error, NoTemplate) else explain(error)
            log.error("the runbooks cannot be imported, the next attempt is in %.0f s: %s", seconds, said)
            return
        self._back_off = BackOff()
        old, self.template = self.template, new
        if old is not None:
            old.stop()
        self._dismiss_all()
        self._asked.set()
        log.info("ready, with code %s", new.version)

    async def keep_full(self) -> None:
        """Keeps as many spares as are wanted, for ever."""
        await again("no spare can be made", self._fill)

    async def _fill(self) -> None:
        self._asked.clear()
        missing = self._count + self._waiting - self._ready.qsize()
        if missing <= 0 or self.template is None or not self.template.process.alive:
            await self._asked.wait()
        elif not self._waiting and not self._ready.empty() and await self._asked_within(LET_BEGIN_SECONDS):
            return  # somebody waits: no time to lose
        else:
            await self._fork(self.template)

    async def _asked_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._asked.wait()
        except TimeoutError:
            return False

    async def _fork(self, template: Template) -> None:
        try:
            child = await template.fork()
        except NoChild as error:
            log.warning("%s", error)
            await asyncio.sleep(LOOK_SECONDS)
            return
        if template is self.template:
            self._ready.put_nowait(child)
        else:
            child.dismiss()

    def _dismiss_all(self) -> list[Watched]:
        dismissed = []
        while not self._ready.empty():
            child = self._ready.get_nowait()
            child.dismiss()
            dismissed.append(child.process)
        return dismissed

    async def stop(self) -> None:
        """Lets the spares and the template go, and sees to it that they do."""
        ending = self._dismiss_all()
        if self.template is not None:
            self.template.stop()
            ending.append(self.template.process)
            self.template = None
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await asyncio.gather(*(process.ended() for process in ending))
        for process in ending:
            process.kill()


class BackOff:
    """When to try again what failed for this code: later and later."""

    def __init__(self) -> None:
        self._code: Fingerprint | None = None
        self._seconds, self._most = TRY_AGAIN_SECONDS
        self._until = float("-inf")

    def failed(self, code: Fingerprint) -> float:
        """Notes a failure, and says for how many seconds to wait."""
        if code != self._code:
            self._code, self._seconds = code, TRY_AGAIN_SECONDS[0]
        seconds, self._seconds = self._seconds, min(2 * self._seconds, self._most)
        self._until = time.monotonic() + seconds
        return seconds

    def over(self, code: Fingerprint) -> bool:
        """Whether it is time: at once, when the code is another one."""
        return code != self._code or time.monotonic() >= self._until
