"""The practice ground's orchestration service: real pods on a Redis of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from lab import servers
from lab.message_bus.events import Event
from lab.processes import Processes
from tasks.systems.orchestration.admin import Admin
from tests.contract.servers import free_port
from tests.lab.programs import Program
from tests.waiting import wait_for

REPOSITORY = Path(__file__).parents[2]
SUBNET = f"127.{94 + os.getpid() % 50}.{os.getpid() // 50 % 250}"


class Service:
    """The pods, and the events that give them tasks."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self.redis = redis
        self._folder = folder
        self.pods: list[Program] = []

    def start(self, workers: int = 10) -> Program:
        """One more pod, ready."""
        number = len(self.pods) + 1
        log = self._folder / f"pod-{number}.log"
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": str(REPOSITORY),
            "POD_NAME": f"pod-{number}",
            "POD_IP": f"{SUBNET}.{number}",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis.connection_pool.connection_kwargs['port']}/0",
            "ORCHESTRATION_WORKER_POOL_SIZE": str(workers),
        }
        with log.open("wb") as output:
            command = [sys.executable, "-m", "lab.message_bus.orchestration"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        pod = Program(environment["POD_IP"], log, process)
        self.pods.append(pod)
        wait_for(f"{log.name} is ready", pod.ready, 15)
        return pod

    def hang(self) -> None:
        """The system downstream answers no more: tasks that begin from now on do not end."""
        self.redis.hset("lab:control", "downstream", "hangs")

    def go_on(self) -> None:
        """It answers again."""
        self.redis.delete("lab:control")

    def publish(self, count: int, depends_on: str | None = None) -> list[str]:
        """Events, by the ids of the tasks that they become."""
        events = [Event.happening(depends_on=depends_on) for _ in range(count)]
        self.redis.lpush("event:queue", *(event.encode() for event in events))
        return [event.id for event in events]

    def admin(self, *pods: Program) -> Admin:
        """The admin API of these pods: of all, when none are named."""
        return Admin(lambda: [f"http://{pod.address}:8082" for pod in pods or self.pods])

    def running(self, count: int) -> None:
        """Until so many tasks run."""
        wait_for(f"{count} tasks run", lambda: len(self.admin().tasks("running")) == count, 10)


@contextmanager
def orchestration(folder: Path) -> Iterator[Service]:
    """The service without a pod yet; whatever is started ends with the block."""
    port, processes = free_port(), Processes(folder / "processes")
    processes.start("redis", servers.redis_command(folder / "redis", port))
    processes.wait("Redis", lambda: servers.redis_answers(f"redis://127.0.0.1:{port}/0"), ["redis"])
    try:
        with Redis(port=port, decode_responses=True) as redis:
            service = Service(redis, folder)
            yield service
            for pod in service.pods:
                if pod.process.poll() is None:
                    pod.end(signal.SIGKILL)
    finally:
        processes.stop(["redis"])
