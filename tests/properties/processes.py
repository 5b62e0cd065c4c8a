"""Processes that take turns: each runs only while the test lets it, so that every interleaving can be repeated.

A process is a thread that is handed a baton. It gives it back at *points*: the fail points of `tasks.failpoint`, and
before and after each call to something outside (the ledger, the target, Prefect). Its heartbeat is a second thread
that beats by itself while time passes.

A killed process is one that never gets the baton again: as after kill -9, no `finally` and no `except` of it runs.
Only when the example is over are the stacks of the dead unwound to free their threads, and then every way out of the
process is cut off: whatever they call raises `Killed` again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.properties.clock import Clock

_here = threading.local()


class Killed(BaseException):
    """Unwinds the stack of a process that is dead already."""


def _always() -> bool:
    return True


class Fiber:
    """One thread of a process. It runs between `resume` (by the test) and `pause` (by itself)."""

    def __init__(self, process: Process, name: str, work: Callable[[], None]) -> None:
        self.process = process
        self.ready: Callable[[], bool] = _always
        self.wake_at: float | None = None
        self.attempt = 1  # of the task that it is at
        self.done = False
        self.error: BaseException | None = None
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)

    def resume(self) -> None:
        """Hands over the baton and waits until it comes back."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()
        if self.done:
            self._thread.join()

    def pause(self, ready: Callable[[], bool] = _always, wake_at: float | None = None) -> None:
        """Gives the baton back. It is handed over again once `ready`, or at `wake_at` by the steady clock."""
        self.ready, self.wake_at = ready, wake_at
        self._back.release()
        self._go.acquire()
        self.check()

    def check(self) -> None:
        """Cuts a dead process off from the world."""
        if self.process.dead:
            raise Killed

    def _run(self, work: Callable[[], None]) -> None:
        _here.fiber = self
        try:
            self.check()
            work()
        except Killed:
            pass
        except BaseException as error:  # looked at by the test
            self.error = error
        finally:
            self.done = True
            self._back.release()


class Process:
    """One process: its main thread, and those that it starts. `id` is that of its flow run."""

    def __init__(self, id: str, kind: str, work: Callable[[], Any]) -> None:
        self.id, self.kind = id, kind
        self.main = Fiber(self, kind, self._main(work))
        self.helpers: list[Fiber] = []
        self.dead = self.stopped = False
        self.woke_at: float | None = None  # by the steady clock, when it was stopped for the last time
        self.point = "start"  # the last one that was reached
        self.halts: Callable[[str], bool] = lambda point: True
        self.result: Any = None

    def _main(self, work: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            self.result = work()

        return run

    @property
    def over(self) -> bool:
        return self.dead or self.main.done

    @property
    def runs(self) -> bool:
        """Whether it would go on if it were let."""
        return not self.over and not self.stopped

    def __repr__(self) -> str:
        return f"{self.kind} {self.id[:8]} at {self.point!r}"


def fiber() -> Fiber | None:
    """The thread of a process that has the baton, or None in the test itself."""
    found: Fiber | None = getattr(_here, "fiber", None)
    return found


def current() -> Process | None:
    """The process that has the baton."""
    found = fiber()
    return found.process if found else None


def check() -> None:
    """To be asked by every way out of a process."""
    if (found := fiber()) is not None:
        found.check()


class Host:
    """The processes of one small world, and its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.processes: list[Process] = []
        self.done = 0  # calls to something outside, so far
        self.passes: list[Callable[[float], None]] = []  # told how many seconds have passed
        self.reaches: list[Callable[[Process, str], None]] = []  # told which process reached which point

    # ---- what processes do ----

    def reach(self, point: str) -> None:
        """A point: here a process may be halted, interleaved with others, or killed."""
        found = fiber()
        if found is None:
            return
        found.check()
        process = found.process
        if found is not process.main:
            return
        process.point = point
        for told in self.reaches:
            told(process, point)
        if process.halts(point):
            found.pause()

    def sleep(self, seconds: float) -> None:
        """Sleeps by the steady clock."""
        found = fiber()
        assert found is not None, "the test itself does not sleep"
        found.check()
        self._wait(found, lambda: False, self.clock.steady + seconds)

    def _wait(self, found: Fiber, ready: Callable[[], bool], until: float | None) -> None:
        def over() -> bool:
            return ready() or (until is not None and self.clock.steady >= until)

        while not over():
            found.pause(over, until)

    def start(self, id: str, kind: str, work: Callable[[], Any]) -> Process:
        """A new process, which does nothing until it is let."""
        process = Process(id, kind, work)
        self.processes.append(process)
        return process

    # ---- what the test does with them ----

    def step(self, process: Process, halts: Callable[[str], bool] = lambda point: True) -> None:
        """Lets a process run to the first point at which `halts` says so, or until it sleeps or ends."""
        process.halts = halts
        halted = False
        while process.runs and process.main.ready() and not halted:
            process.main.resume()
            halted = process.main.ready is _always
            self._help(process)

    def run_to(self, process: Process, point: str) -> None:
        """Lets a process run to the next point whose name begins so, or until it sleeps or ends."""
        self.step(process, lambda at: at.startswith(point))

    def run_out(self, process: Process, most: float = 6 * 3600) -> None:
        """Lets a process run to its end; time passes as it sleeps.

        Raises:
            TimeoutError: it has not ended after so many seconds of its time.
        """
        until = self.clock.steady + most
        while process.runs:
            self.step(process, lambda point: False)
            if process.runs:
                if self.clock.steady > until:
                    raise TimeoutError(f"{process} does not end")
                self.let_pass(max(0.0, (process.main.wake_at or self.clock.steady) - self.clock.steady))

    def run_all(self) -> None:
        """Lets all processes run to their end, side by side."""
        while running := [process for process in self.processes if process.runs]:
            for process in running:
                self.step(process, lambda point: False)
            wakes = [process.main.wake_at or self.clock.steady for process in running if process.runs]
            self.let_pass(max(0.0, min(wakes, default=0.0) - self.clock.steady))

    def let_pass(self, seconds: float) -> None:
        """Time passes; the hearts of processes that run go on beating. The work itself is only done when it is let."""
        until = self.clock.steady + seconds
        while True:
            beats = [f.wake_at for p in self.processes if p.runs for f in p.helpers if not f.done and f.wake_at]
            to = min([until, *beats])
            passed = max(0.0, to - self.clock.steady)
            self.clock.steady += passed
            for told in self.passes:
                told(passed)
            for process in self.processes:
                self._help(process)
            if self.clock.steady >= until:
                return

    def _help(self, process: Process) -> None:
        for helper in process.helpers:
            while process.runs and not helper.done and helper.ready():
                helper.resume()

    def kill(self, process: Process) -> None:
        """As kill -9: it never runs again."""
        process.dead = True

    def stop(self, process: Process) -> None:
        """As SIGSTOP: neither its work nor its heart goes on."""
        process.stopped = True

    def wake(self, process: Process) -> None:
        """As SIGCONT: it goes on as if nothing had been."""
        if process.stopped:
            process.stopped, process.woke_at = False, self.clock.steady

    def close(self) -> None:
        """Ends all processes."""
        for process in self.processes:
            process.dead = True
            for found in (*process.helpers, process.main):
                while not found.done:
                    found.resume()


class Threads:
    """Stands in for the module `threading` in production code that starts a thread: a second one of its process."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def Thread(self, target: Callable[[], None], name: str = "", daemon: bool = True) -> _Thread:
        return _Thread(self._host, target, name)

    def Event(self) -> _Event:
        return _Event(self._host)


class _Thread:
    def __init__(self, host: Host, target: Callable[[], None], name: str) -> None:
        process = current()
        assert process is not None, "only processes start threads"
        self._host, self._process = host, process
        self._fiber = Fiber(process, name, target)

    def start(self) -> None:
        check()
        self._process.helpers.append(self._fiber)

    def join(self) -> None:
        check()
        found = fiber()
        assert found is not None
        self._host._wait(found, lambda: self._fiber.done, None)


class _Event:
    def __init__(self, host: Host) -> None:
        self._host, self._set = host, False

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float | None = None) -> bool:
        found = fiber()
        assert found is not None
        found.check()
        until = None if timeout is None else self._host.clock.steady + timeout
        self._host._wait(found, lambda: self._set, until)
        return self._set
