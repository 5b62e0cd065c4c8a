"""The practice ground: brings the platform up with everything around it, breaks it, heals it, and takes it down.

    ground = Ground(Path("ground"))
    ground.up()
    ground.break_("queue-overload", Form.CURABLE_AT_ONCE)
    ...
    ground.down()

All its processes are detached: the program that brought it up may end, and another one takes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from lab.assembly import DEPENDENTS, FOUNDATIONS, assemble, connected, start
from lab.audit import AuditRecord, read_audit_logs
from lab.blueprint import Blueprint, Wishes
from lab.message_bus.faults import Fault, find_fault
from lab.model import ActiveFault, Component, Endpoints, Form, GroundError, Status, Webhook
from lab.processes import Processes
from lab.program import Program
from lab.state import Record, State

HEAL_SECONDS = 60.0


class Ground:
    """A practice ground in a state folder."""

    def __init__(self, state: Path) -> None:
        """Keep everything in `state`; nothing happens yet."""
        self._state = State(state)
        self._processes = Processes(self._state.folder / "processes")

    def up(
        self,
        *,
        alert_webhook: Webhook | None = None,
        rule_files: Sequence[Path] = (),
        observability: bool | None = None,
        progress: Callable[[str], None] = lambda line: None,
    ) -> Endpoints:
        """Bring the ground up, and wait until it is healthy; nothing happens if it is up already.

        A ground of which processes are missing is taken down first.

        Args:
            alert_webhook: Where alerts are sent.
            rule_files: Prometheus rules that raise them.
            observability: Whether to start Prometheus and Alertmanager; by default if they are installed.
            progress: Is told what happens, a line at a time.

        Raises:
            GroundError: a program is missing or does not start, or the ground is up with other settings.
        """
        wishes = Wishes.check(alert_webhook, tuple(rule_files), observability)
        with self._state.locked():
            if (built := self._built()) is not None:
                record, endpoints = built
                if record.wishes != wishes:
                    raise GroundError("the ground is up with other settings: take it down first")
                return endpoints
            self._take_down()
            try:
                return self._bring_up(wishes, progress)
            except BaseException:
                self._take_down()
                raise

    def down(self) -> None:
        """Take the ground down; nothing happens if it is down. Its logs stay until it is brought up again."""
        with self._state.locked():
            self._take_down()

    def status(self) -> Status:
        """How the ground is, also while it is half up or half down: readings that cannot be had are left out."""
        record = self._state.record.read()
        if record is None:
            return Status(components=())
        components = tuple(Component(name=name, running=self._processes.running(name)) for name in record.components)
        status = Status(components=components, fault=self._state.fault.read())
        if self._state.endpoints.read() is None:
            return status
        running = {component.name for component in components if component.running}
        return status.model_copy(update=self._readings(record, running))

    def break_(self, fault: str, form: Form) -> Fault:
        """Break the ground; what a person would see of it follows within seconds.

        Raises:
            GroundError: the ground is not up, or is broken already, or there is no such fault.
        """
        found = find_fault(fault, form)
        with self._state.locked():
            record, _ = self._require_up()
            if (active := self._state.fault.read()) is not None:
                raise GroundError(f"{active.name} ({active.form.value}) is active: heal the ground first")
            # Written first: a ground that is broken by half is broken.
            self._state.fault.write(ActiveFault(name=found.name, form=found.form))
            with connected(record) as platform:
                platform.change_world(found)
                # Else the burst would meet workers that have not heard yet, and be shorter by what they do.
                self._processes.wait("breaking", lambda: platform.knows(found.control), record.components)
                platform.send_burst(found)
        return found

    def calm(self) -> None:
        """Let the world outside be as on a normal day again. Unlike `heal`, what people and automations changed stays.

        Raises:
            GroundError: the ground is not up.
        """
        with self._state.locked():
            record, _ = self._require_up()
            with connected(record) as platform:
                platform.calm()

    def heal(self) -> None:
        """Take back every fault, and every change that anybody made, and wait until the ground is healthy.

        Raises:
            GroundError: the ground is not up, or does not become healthy.
        """
        with self._state.locked():
            record, _ = self._require_up()
            with connected(record) as platform:
                platform.heal()
                # What was just starting could not be asked what it had read.
                self._processes.wait("healing", platform.started, record.components, HEAL_SECONDS)
                platform.restart_outdated()
                self._processes.wait("healing", platform.at_rest, record.components, HEAL_SECONDS)
            self._state.fault.remove()

    def endpoints(self) -> Endpoints:
        """How to reach the ground.

        Raises:
            GroundError: the ground is not up.
        """
        _, endpoints = self._require_up()
        return endpoints

    def audit(self, since: datetime | None = None) -> list[AuditRecord]:
        """Every write that reached the cluster or the service's administration, oldest first, since then, or since the
        ground is up.

        Raises:
            GroundError: the ground was not brought up, or was taken down. A process of it may be missing.
        """
        endpoints = self._state.endpoints.read()
        if endpoints is None:
            raise GroundError("the ground is not up")
        return read_audit_logs(endpoints.audit_log, endpoints.admin_audit_log, since=since)

    def kill(self, component: str) -> None:
        """Kill a process of the ground as a crash would (`kill -9`); nothing happens if it does not run.

        The pods die with the kubelet; all others live on without what was killed.

        Raises:
            GroundError: the ground has no such process.
        """
        with self._state.locked():
            self._program(component)
            self._processes.kill(component)

    def revive(self, component: str) -> None:
        """Start a process again that was killed, with what it had on disk, and wait until it is ready.

        Nothing happens if it runs. Redis and the API server know all that they had answered; Prometheus knows its
        samples; the kubelet starts its pods anew.

        Raises:
            GroundError: the ground has no such process, or it does not start.
        """
        with self._state.locked():
            program = self._program(component)
            if not self._processes.running(component):
                start(program, self._processes)
                self._processes.wait(component, program.is_ready, [component])

    def _bring_up(self, wishes: Wishes, progress: Callable[[str], None]) -> Endpoints:
        blueprint = Blueprint.draw(self._state.folder, wishes)
        record = Record(
            wishes=wishes,
            programs=blueprint.programs,
            access=blueprint.plane.access("ground"),
            endpoints=blueprint.endpoints,
        )
        self._state.record.write(record)
        assemble(record, self._processes, progress)
        self._state.endpoints.write(record.endpoints)
        return record.endpoints

    def _program(self, component: str) -> Program:
        record = self._state.record.read()
        programs = {} if record is None else {program.name: program for program in record.programs}
        if component not in programs:
            raise GroundError(f"the ground has no {component}; it has {', '.join(programs) or 'no processes'}")
        return programs[component]

    def _take_down(self) -> None:
        self._state.endpoints.remove()
        for names in (DEPENDENTS, FOUNDATIONS):
            self._processes.stop(names)
        self._state.record.remove()
        self._state.fault.remove()

    def _built(self) -> tuple[Record, Endpoints] | None:
        """What is known of the ground if it is up."""
        record, endpoints = self._state.record.read(), self._state.endpoints.read()
        if record is None or endpoints is None or not all(map(self._processes.running, record.components)):
            return None
        return record, endpoints

    def _require_up(self) -> tuple[Record, Endpoints]:
        built = self._built()
        if built is None:
            raise GroundError("the ground is not up")
        return built

    def _readings(self, record: Record, running: Collection[str]) -> dict[str, object]:
        """What can be read of the platform. A process may run and not answer all the same: it is just dying."""
        found: dict[str, object] = {}
        with connected(record) as platform:
            for name, source, read in (
                ("workloads", "apiserver", platform.workloads),
                ("queue_depth", "redis", platform.queue_depth),
                ("utilisation", "apiserver", platform.utilisation),
            ):
                if source in running:
                    with suppress(GroundError):
                        found[name] = read()
        return found
