"""One container: a process that is started, probed, restarted with back-off and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kubernetes import timestamps
from lab.kubernetes.client import ApiStatusError, ApiUnreachableError
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.kubelet.environment import ConfigError, EnvironmentResolver, expand
from lab.kubernetes.kubelet.logs import LogWriter, OutputPipes
from lab.kubernetes.kubelet.probes import Prober
from lab.kubernetes.kubelet.reaper import Reaper, die_with_parent
from lab.kubernetes.objects import Object, name_of, namespace_of, uid_of

_START_ERROR = 128
_KEPT_RUNS = 2
_LAST_OUTPUT = 1.0


@dataclass(frozen=True)
class BackOff:
    """Pauses before restarts, in seconds: none, then `base`, doubling to thirty times that; reset by a long run."""

    base: float = 10.0

    def before(self, failures: int) -> float:
        return 0.0 if failures == 0 else min(self.base * 2.0 ** (failures - 1), 30 * self.base)

    def is_forgotten(self, run_seconds: float) -> bool:
        return run_seconds > 60 * self.base


@dataclass(frozen=True)
class Runtime:
    """What all containers of the node share."""

    environment: EnvironmentResolver
    prober: Prober
    reaper: Reaper
    events: EventRecorder
    back_off: BackOff


class Container:
    """The life of one container of a pod. `state` and `last_state` are `v1 ContainerState` documents."""

    def __init__(
        self, runtime: Runtime, pod: Object, spec: Object, address: str, folder: Path, on_change: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: Object = {}
        self.ready = False
        self.started = False
        self.restarts = _restarts_so_far(pod, self.name)
        self._runtime = runtime
        self._pod = pod
        self._address = address
        self._folder = folder / self.name
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._kill_reason: str | None = None
        self._stopping = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when no process runs and none will be started."""
        self._run = self.restarts

    @property
    def pid(self) -> int | None:
        """The first process while the container runs; it leads a session of its own."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def is_running(self) -> bool:
        return self.pid is not None

    def log_path(self, previous: bool) -> Path | None:
        """The log of the present run, or of the one before; None when there was none."""
        path = self._folder / f"{self._run - 1 if previous else self._run}.log"
        return path if path.exists() else None

    async def run(self) -> None:
        """Runs the container, again and again as the pod's restartPolicy says, until it is finished or stopped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            await self._run_and_restart()
        finally:
            self.ended.set()

    async def _run_and_restart(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            environment = await self._environment()
            if environment is None:
                continue
            started = time.monotonic()
            code = await self._one_run(environment)
            if self._stopping.is_set() or not self._should_restart(code):
                return
            failures = 0 if self._runtime.back_off.is_forgotten(time.monotonic() - started) else failures
            await self._pause(self._runtime.back_off.before(failures))
            failures += 1
            self.restarts += 1
            self._run += 1
            self._forget_old_logs()

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when `grace` seconds have passed. Returns at once; `run` returns when it is over."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        if grace > 0:
            asyncio.get_running_loop().call_later(grace, self._kill_if_same, self._process)

    def kill(self, reason: str) -> None:
        """SIGKILL with a reason such as OOMKilled for the status."""
        self._kill_reason = reason
        self._signal(signal.SIGKILL)

    async def _environment(self) -> Mapping[str, str] | None:
        """The resolved environment; None after a pause when something that it needs is missing."""
        try:
            return await self._runtime.environment.resolve(self._pod, self.spec, self._address, self._folder)
        except ConfigError as error:
            self._wait_for("CreateContainerConfigError", str(error))
            self._runtime.events.warning(self._pod, "Failed", f"Error: {error}")
        except (ApiStatusError, ApiUnreachableError) as error:
            self._wait_for("CreateContainerConfigError", str(error))
        await self._sleep(min(self._runtime.back_off.base, 2.0))
        return None

    async def _one_run(self, environment: Mapping[str, str]) -> int:
        log = LogWriter(self._folder / f"{self._run}.log")
        since = timestamps.seconds()
        self._kill_reason = None
        try:
            process, copies = await self._start(environment, log)
        except OSError as error:
            log.close()
            message = f"failed to start container {self.name}: {error}"
            self._runtime.events.warning(self._pod, "Failed", f"Error: {message}")
            self._end(_START_ERROR, since, "StartError", message)
            return _START_ERROR
        self._process = process
        self._runtime.reaper.add(process.pid)
        self.state = {"running": {"startedAt": since}}
        self.started = True
        self.ready = "readinessProbe" not in self.spec
        self._changed()
        self._runtime.events.normal(self._pod, "Started", f"Started container {self.name}")
        if self._stopping.is_set():
            # Asked to stop while the process was being made.
            self._signal(signal.SIGKILL)
        probes = [asyncio.create_task(probe) for probe in self._probes()]
        code = await process.wait()
        for probe in probes:
            probe.cancel()
        # With its first process a container ends, whatever that has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._runtime.reaper.remove(process.pid)
        # A process that has left the session may hold the output open for ever.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(copies, _LAST_OUTPUT)
        await asyncio.gather(*probes, return_exceptions=True)
        log.close()
        exit_code = code if code >= 0 else 128 - code
        self._end(exit_code, since, self._kill_reason or ("Completed" if exit_code == 0 else "Error"), "")
        return exit_code

    async def _start(
        self, environment: Mapping[str, str], log: LogWriter
    ) -> tuple[asyncio.subprocess.Process, asyncio.Future[Any]]:
        """The first process, and the copying of its output to the log. Raises OSError when it cannot be started."""
        words = [*(self.spec.get("command") or ()), *(self.spec.get("args") or ())]
        if not words:
            raise FileNotFoundError("no command specified, and this kubelet has no images to take one from")
        command = [expand(word, environment) for word in words]
        if shutil.which(command[0], path=environment["PATH"]) is None:
            raise FileNotFoundError(f'exec: "{command[0]}": executable file not found in $PATH')
        # Pipes of our own: asyncio's would count the process as running for as long as a child of it holds them open.
        async with OutputPipes() as pipes:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes.stdout,
                stderr=pipes.stderr,
                cwd=self.spec.get("workingDir") or str(self._folder),
                env=dict(environment),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
            return process, asyncio.gather(*(log.copy(name, reader) for name, reader in pipes.readers))

    def _probes(self) -> Iterator[Coroutine[Any, Any, None]]:
        if "readinessProbe" in self.spec:
            yield self._probe("Readiness", self.spec["readinessProbe"], self._set_ready)
        if "livenessProbe" in self.spec:
            yield self._probe("Liveness", self.spec["livenessProbe"], self._restart_unless)

    def _probe(self, kind: str, probe: Object, on_result: Callable[[bool], None]) -> Coroutine[Any, Any, None]:
        def on_failure(message: str) -> None:
            self._runtime.events.warning(self._pod, "Unhealthy", f"{kind} probe failed: {message}")

        return self._runtime.prober.watch(self.spec, probe, self._address, on_result, on_failure)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready and self.is_running:
            self.ready = ready
            self._changed()

    def _restart_unless(self, alive: bool) -> None:
        """A container that fails its liveness probe is stopped; its restartPolicy starts it again."""
        if not alive and self.is_running:
            message = f"Container {self.name} failed liveness probe, will be restarted"
            self._runtime.events.normal(self._pod, "Killing", message)
            self._signal(signal.SIGTERM)
            grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))
            asyncio.get_running_loop().call_later(grace, self._kill_if_same, self._process)

    def _kill_if_same(self, process: asyncio.subprocess.Process | None) -> None:
        if self._process is process:
            self._signal(signal.SIGKILL)

    def _should_restart(self, code: int) -> bool:
        policy = self._pod["spec"].get("restartPolicy", "Always")
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    async def _pause(self, seconds: float) -> None:
        self.last_state = self.state
        if seconds > 0:
            pod = f"{name_of(self._pod)}_{namespace_of(self._pod)}({uid_of(self._pod)})"
            message = f"back-off {seconds:g}s restarting failed container={self.name} pod={pod}"
            self._wait_for("CrashLoopBackOff", message)
            self._runtime.events.warning(self._pod, "BackOff", "Back-off restarting failed container")
            await self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _wait_for(self, reason: str, message: str) -> None:
        self.state = {"waiting": {"reason": reason, "message": message}}
        self._changed()

    def _end(self, code: int, since: str, reason: str, message: str) -> None:
        self.ready = self.started = False
        ended: Object = {"exitCode": code, "reason": reason, "startedAt": since, "finishedAt": timestamps.seconds()}
        self.state = {"terminated": {**ended, **({"message": message} if message else {})}}
        self._changed()

    def _changed(self) -> None:
        self._on_change()

    def _signal(self, number: signal.Signals) -> None:
        """SIGTERM goes to the first process, as in a container; SIGKILL to its whole group."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def _forget_old_logs(self) -> None:
        for old in self._folder.glob("*.log*"):
            if int(old.name.partition(".")[0]) <= self._run - _KEPT_RUNS:
                old.unlink()


def _restarts_so_far(pod: Object, name: str) -> int:
    """A container that ran before is restarted now: the kubelet itself was, and its processes with it."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status["name"] == name:
            return int(status.get("restartCount", 0)) + ("containerID" in status)
    return 0
