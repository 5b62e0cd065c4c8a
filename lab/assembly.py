"""How the processes of a ground are put together: what is started first, and what has to be ready for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager

from lab.cluster import Cluster
from lab.message_bus.platform import MessageBus
from lab.processes import Processes
from lab.program import Program
from lab.state import Record

# Who depends on another is asked to end before it; the kubelet takes the pods with it.
DEPENDENTS = ("prometheus", "alertmanager", "discovery", "kubelet", "controllers")
FOUNDATIONS = ("apiserver", "redis")


@contextmanager
def connected(record: Record) -> Iterator[MessageBus]:
    """The platform on a ground whose API server has been started."""
    at = record.endpoints
    with (
        closing(Cluster(record.access)) as cluster,
        closing(MessageBus(cluster, at.redis_url, at.admin_audit_log)) as platform,
    ):
        yield platform


def start(program: Program, processes: Processes) -> None:
    """Start a program, whatever is left of its last run.

    Raises:
        GroundError: it cannot be started.
    """
    program.forget_readiness()
    processes.start(program.name, program.command)


def assemble(record: Record, processes: Processes, progress: Callable[[str], None]) -> None:
    """Start everything, put the platform into the cluster, and wait until it is healthy.

    Raises:
        GroundError: a program does not start.
    """
    programs, started = {program.name: program for program in record.programs}, list[str]()

    def begin(names: Iterable[str]) -> None:
        for name in names:
            start(programs[name], processes)
            started.append(name)

    def wait(what: str, ready: Callable[[], bool]) -> None:
        processes.wait(what, ready, started)

    progress("starting Redis and the API server")
    begin(FOUNDATIONS)
    wait("the API server", programs["apiserver"].is_ready)
    with connected(record) as platform:
        progress("starting controllers, kubelet and the rest; creating the platform")
        begin(name for name in programs if name not in FOUNDATIONS)
        wait("Redis", programs["redis"].is_ready)
        platform.deploy()
        for program in record.programs:
            wait(program.name, program.is_ready)
        wait("the platform", platform.started)
    progress("up and healthy")
