"""The worker's own loop with real processes, and a Prefect server that does what the test wants."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Pending, Scheduled

from deployments.worker import server as server_module
from deployments.worker import worker as worker_module
from deployments.worker.code import Code
from deployments.worker.orders import Order
from deployments.worker.records import Record, Records
from deployments.worker.server import CannotStart, Server
from deployments.worker.slots import Slots
from deployments.worker.spares import Spares
from deployments.worker.worker import Patience, Worker
from tests.contract.test_worker_processes import code, run, surroundings, until

__all__ = ["code", "surroundings"]

pytestmark = pytest.mark.timeout(120)


class Prefect(Server):
    """Runs by their ids, with the command that each is; `refuses` is what a claim is answered with."""

    def __init__(self) -> None:
        super().__init__(None, "w1")  # type: ignore[arg-type]
        self.pool = uuid.uuid4()
        self.runs: dict[uuid.UUID, FlowRun] = {}
        self.commands: dict[uuid.UUID, str] = {}
        self.claims = 0
        self.refuses: Exception | None = None
        self.away = False  # for everything, or
        self.deaf = False  # only when it is asked how a run stands
        self.told: list[str] = []
        self.held: asyncio.Event | None = None

    def due_now(self, command: str = "true") -> uuid.UUID:
        """A run that should have started by now."""
        found = FlowRun(id=uuid.uuid4(), name="a run", flow_id=uuid.uuid4(), state=Scheduled())
        self.runs[found.id], self.commands[found.id] = found, command
        return found.id

    async def beat(self) -> None:
        if self.away:
            raise httpx.ConnectError("refused")

    async def due(self) -> list[FlowRun]:
        return [one for one in self.runs.values() if one.state is not None and one.state.is_scheduled()]

    async def claim(self, run: FlowRun, mark: str, orphan_seconds: float) -> Order | None:
        self.claims += 1
        if isinstance(self.refuses, httpx.HTTPError):
            raise self.refuses
        self.runs[run.id] = run.model_copy(update={"state": Pending(message=mark)})
        if self.refuses is not None:
            raise self.refuses
        if self.held is not None:
            await self.held.wait()
        return Order(run=run, command=self.commands[run.id], orphan_seconds=orphan_seconds)

    async def started(self, run: uuid.UUID, process: str) -> None:
        """Not asked for by the tests."""

    async def read(self, run: uuid.UUID) -> FlowRun | None:
        if self.away or self.deaf:
            raise httpx.ConnectError("refused")
        return self.runs.get(run)

    async def tell(self, run: uuid.UUID, state: State) -> None:
        self.runs[run] = self.runs[run].model_copy(update={"state": state})
        self.told.append(f"{state.name}: {state.message}")

    async def cancelling(self, runs: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        return {id for id, one in self.runs.items() if one.state is not None and one.state.type == "CANCELLING"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ASK_AGAIN_SECONDS", 0.1)

    async def follow(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(worker_module, "follow", follow)
    monkeypatch.setattr(worker_module, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(worker_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(worker_module, "CANCELLED_SECONDS", 0.1)


@asynccontextmanager
async def working(prefect: Prefect, code: Code, folder: Path, **patience: float) -> AsyncIterator[Worker]:
    """A worker at work for the time of the block, and told to stop after it."""
    worker = Worker("w1", prefect, Records(folder), Slots(2, 0), 1, Patience(**{"grace": 5.0, **patience}))
    worker._spares = Spares(1, code)
    work = asyncio.create_task(worker.work())
    try:
        yield worker
    finally:
        worker.stop()
        await work


def ended(prefect: Prefect, run: uuid.UUID) -> Callable[[], bool]:
    return lambda: (state := prefect.runs[run].state) is not None and state.is_final()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_stays_open_of_runs_that_are_over(code: Code, tmp_path: Path) -> None:
    async def body() -> None:
        prefect = Prefect()
        async with working(prefect, code, tmp_path / "w1") as worker:
            await until("a first run", ended(prefect, prefect.due_now()))
            before = descriptors()
            for _ in range(6):
                await until("the run", ended(prefect, prefect.due_now()))
            await until("the spare", lambda: worker._spares._ready.qsize() == 1)
            assert descriptors() <= before + 2, "the spare, which may not have been there before"
            assert list(Records.left(worker._records)) == []

    run(body())


def test_a_spare_that_waited_for_longer_than_a_run_may_be_silent_is_not_taken_for_hung(
    code: Code, tmp_path: Path
) -> None:
    async def body() -> None:
        prefect = Prefect()
        prefect.held = asyncio.Event()
        async with working(prefect, code, tmp_path / "w1", silent=0.5) as worker:
            await until("the spare", lambda: worker._spares._ready.qsize() == 1)
            spare = await worker._spares.take()
            worker._spares.put_back(spare)
            await until("a spare that is older", lambda: time.monotonic() - spare.heard_at > 0.6)
            one = prefect.due_now("sh -c 'exit 7'")
            await until("the claim", lambda: prefect.claims == 1)
            # Some looks, one each tenth of a second, at a spare that has said nothing for a second.
            await until("some looks", lambda: time.monotonic() - spare.heard_at > 1.1)
            prefect.held.set()
            await until("the end", ended(prefect, one))
            assert "exit code 7" in prefect.told[0]

    run(body())


def test_what_cannot_be_claimed_is_asked_for_at_the_usual_pace(code: Code, tmp_path: Path) -> None:
    async def body() -> None:
        prefect = Prefect()
        prefect.refuses = httpx.ConnectError("refused")
        one = prefect.due_now()
        async with working(prefect, code, tmp_path / "w1"):
            await until("a claim", lambda: prefect.claims > 0)
            before, began = prefect.claims, time.monotonic()
            await until("more claims", lambda: prefect.claims - before >= 8)
            assert time.monotonic() - began >= 1, "every 0.2 s, and not as fast as the server says no"
            prefect.refuses = None
            await until("the end", ended(prefect, one))

    run(body())


def test_a_run_that_makes_no_sense_is_told_so_however_long_it_takes(code: Code, tmp_path: Path) -> None:
    async def body() -> None:
        prefect = Prefect()
        prefect.refuses = CannotStart("no such folder")
        async with working(prefect, code, tmp_path / "w1"):
            prefect.deaf = True
            one = prefect.due_now()
            await until("the claim", lambda: prefect.claims > 0)
            await asyncio.sleep(0.3)
            prefect.deaf = False
            await until("the end", ended(prefect, one))
            assert prefect.told == ["Crashed: it cannot be started: no such folder"]

    run(body())


def test_a_run_that_is_cancelled_while_it_is_taken_never_begins(code: Code, tmp_path: Path) -> None:
    async def body() -> None:
        prefect = Prefect()
        prefect.held = asyncio.Event()
        async with working(prefect, code, tmp_path / "w1") as worker:
            one = prefect.due_now(f"touch {tmp_path}/begun")
            await until("the claim", lambda: prefect.claims == 1)
            prefect.runs[one] = prefect.runs[one].model_copy(update={"state": Cancelling()})
            await until("that it is heard of", lambda: any(a.cause == "cancelled" for a in worker._attempts.values()))
            prefect.held.set()
            await until("the end", ended(prefect, one))
            assert prefect.told == ["Cancelled: cancelled by a person"]
            assert not (tmp_path / "begun").exists()
            await until("its spare to be one again", lambda: worker._spares._ready.qsize() == 1)

    run(body())


def test_a_worker_is_stopped_although_it_never_reached_the_server(code: Code, tmp_path: Path) -> None:
    async def body() -> None:
        prefect = Prefect()
        prefect.away = True
        async with working(prefect, code, tmp_path / "w1"):
            await asyncio.sleep(0.2)

    run(body())


def test_a_run_that_was_stopped_is_awaited_by_the_next_worker_also_when_prefect_heard_of_it_late(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "END_SECONDS", 1.0)
    monkeypatch.setattr(worker_module, "TELL_SECONDS", 1.0)

    async def body() -> None:
        prefect = Prefect()
        one = prefect.due_now("sleep 300")
        async with working(prefect, code, tmp_path / "w1", grace=0.1) as worker:
            await until("the run", lambda: any(a.child.handed for a in worker._attempts.values()))
            prefect.away = True
        assert prefect.told == []
        worker._records._lock.close()  # as if the process had ended
        prefect.away = False
        async with working(prefect, code, tmp_path / "w1"):
            await until("that it is told", lambda: bool(prefect.told))
        assert prefect.told[0].startswith("AwaitingRetry: the worker 'w1' was stopped")
        assert one in prefect.runs

    run(body())


def test_a_run_that_another_worker_was_granted_is_not_spoken_for(code: Code, tmp_path: Path) -> None:
    """This one was killed between its note and its claim, and another worker has the run by now."""

    async def body() -> None:
        prefect = Prefect()
        one = prefect.due_now()
        prefect.runs[one] = prefect.runs[one].model_copy(update={"state": Pending(message="of another worker")})
        ours = prefect.due_now()
        prefect.runs[ours] = prefect.runs[ours].model_copy(update={"state": Pending(message="ours")})
        records = Records(tmp_path / "w1")
        for id in (one, ours):
            records.keep(Record(run=id, pid=1, started="0", boot="an earlier one", mark="ours"))
        records._lock.close()
        async with working(prefect, code, tmp_path / "w1") as worker:
            await until("both to be seen off", lambda: not list(worker._records.left()))
        assert [line.partition(":")[0] for line in prefect.told] == ["Crashed"]
        assert not ended(prefect, one)()

    run(body())
