"""What containers use: sampled for the metrics API and for memory limits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from lab.kubernetes import quantities
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.kubelet.containers import Container
from lab.kubernetes.kubelet.pods import Pod
from lab.kubernetes.kubelet.processes import Usage, usage_by_session
from lab.kubernetes.objects import Object

_PERIOD = 0.5


class Monitor:
    """Looks at all processes twice a second; CPU use is the mean over `window` seconds."""

    def __init__(self, pods: Callable[[], Iterable[Pod]], events: EventRecorder, window: float) -> None:
        self.window = window
        self._pods = pods
        self._events = events
        self._samples: dict[int, deque[tuple[float, Usage]]] = {}

    async def run(self) -> None:
        """Samples for ever."""
        while True:
            self._look()
            await asyncio.sleep(_PERIOD)

    def usage(self, container: Container) -> Usage | None:
        """CPU in cores and memory in bytes of a running container; None until there are two samples."""
        samples = self._samples.get(container.pid or 0)
        if not samples or len(samples) < 2:
            return None
        (first_time, first), (last_time, last) = samples[0], samples[-1]
        return Usage(max(0.0, last.cpu - first.cpu) / (last_time - first_time), last.memory)

    def _look(self) -> None:
        present = time.monotonic()
        sessions = usage_by_session()
        alive = set()
        for pod in self._pods():
            for container in pod.containers:
                if container.pid is None or container.pid not in sessions:
                    continue
                alive.add(container.pid)
                usage = sessions[container.pid]
                samples = self._samples.setdefault(container.pid, deque())
                samples.append((present, usage))
                while samples[0][0] < present - self.window:
                    samples.popleft()
                self._enforce_limit(pod, container, usage)
        self._samples = {pid: samples for pid, samples in self._samples.items() if pid in alive}

    def _enforce_limit(self, pod: Pod, container: Container, usage: Usage) -> None:
        limit = _memory_limit(container.spec)
        if limit is not None and usage.memory > limit:
            self._events.warning(pod.document, "OOMKilling", f"Memory limit of container {container.name} exceeded")
            container.kill("OOMKilled")


def _memory_limit(spec: Object) -> int | None:
    limit = (spec.get("resources", {}).get("limits") or {}).get("memory")
    return None if limit is None else int(quantities.parse(limit))
