"""What the lab's tests run on: a real Redis, real pods of the service, a real ground."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from lab import servers
from lab.ground import Ground
from lab.processes import Processes
from tests.lab.alerts import RULES, Alerts
from tests.lab.observer import Observer
from tests.lab.person import Person
from tests.lab.programs import Program, Start
from tests.waiting import wait_for

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = Processes(tmp_path / "processes")
    processes.start("redis", servers.redis_command(tmp_path / "redis", port))
    url = f"redis://127.0.0.1:{port}/0"
    processes.wait("Redis", lambda: servers.redis_answers(url), ["redis"])
    with Redis(port=port, decode_responses=True) as client:
        yield client
    processes.stop(["redis"])


@pytest.fixture
def start(redis: Redis, tmp_path: Path) -> Iterator[Start]:
    """Start programs on that Redis; a pod of the orchestration service is waited for until it is ready."""
    programs: list[Program] = []
    subnet = f"127.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
    redis_url = f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"

    def run(module: str, pod: str | None = None, **environment: str) -> Program:
        number = len(programs) + 1
        address, log = f"{subnet}.{number}", tmp_path / f"{module}-{number}.log"
        pod_environment = {"POD_NAME": pod or f"pod-{number}", "POD_IP": address, "REDIS_URL": redis_url}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"lab.message_bus.{module}"],
                env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY), **pod_environment, **environment},
                stdout=output,
                stderr=output,
            )
        program = Program(address, log, process)
        programs.append(program)
        if module == "orchestration":
            wait_for(f"{program.log.name} is ready", program.ready, 15)
        return program

    yield run
    for program in programs:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def alerts() -> Iterator[Alerts]:
    """Where the shared ground's alerts arrive."""
    receiver = Alerts()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def shared_ground(tmp_path_factory: pytest.TempPathFactory, alerts: Alerts) -> Iterator[Ground]:
    """A ground that is brought up once for all tests."""
    folder = tmp_path_factory.mktemp("ground")
    rules = folder / "rules.yml"
    rules.write_text(RULES)
    ground = Ground(folder / "state")
    ground.up(alert_webhook=alerts.webhook, rule_files=[rules])
    yield ground
    ground.down()


@pytest.fixture
def ground(shared_ground: Ground) -> Ground:
    """The shared ground, healthy whatever the test before did to it."""
    shared_ground.heal()
    return shared_ground


@pytest.fixture
def person(ground: Ground) -> Person:
    """Somebody who changes that ground."""
    return Person(ground.endpoints())


@pytest.fixture
def observer(ground: Ground) -> Iterator[Observer]:
    """Somebody who looks at that ground."""
    observer = Observer(ground.endpoints())
    yield observer
    observer.close()
