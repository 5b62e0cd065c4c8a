"""Template, spares and children as real processes: what a fork leaves behind, and what becomes of them when one dies.

No Prefect server is needed: a run here is a command, as a work pool may name one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.objects import FlowRun

from deployments.worker import template as templates
from deployments.worker.code import Code
from deployments.worker.orders import Order
from deployments.worker.process import Child, become_reaper, reap_strangers
from deployments.worker.spares import Spares
from deployments.worker.template import NoTemplate, Template
from tasks.version import ROOT
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find our code from another folder, and no Prefect server."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    become_reaper()


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """A package of one module, in place of the runbooks."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    write(tmp_path, "x = 1\n")
    return Code(tmp_path, ("pack",), ("pack.part",))


def write(root: Path, source: str) -> None:
    (root / "pack" / "part.py").write_text(source)


@asynccontextmanager
async def keeping(spares: Spares) -> AsyncIterator[Spares]:
    """The spares, kept for the time of the block."""
    keepers = [asyncio.create_task(spares.keep_template()), asyncio.create_task(spares.keep_full())]
    try:
        yield spares
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await spares.stop()


async def until(what: str, look: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.05)


def order(command: str, **other: Any) -> Order:
    return Order(run=FlowRun(id=uuid.uuid4(), name="a run", flow_id=uuid.uuid4()), command=command, **other)


def sockets(pid: int) -> set[str]:
    links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.startswith("socket:")}


def alone(template: Template) -> bool:
    return len(sockets(template.process.pid)) == 1  # while it forks it has the child's end of the line, too


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def run(work: Coroutine[Any, Any, None]) -> None:
    """A test's body. Nothing of it is left: neither processes nor their remains."""
    asyncio.run(work)
    deadline = time.monotonic() + 20
    while left := [child for child in psutil.Process().children() if child.name().startswith("runbooks")]:
        for child in left:
            os.waitpid(child.pid, os.WNOHANG)  # nobody watches any more
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_child_shares_nothing_and_its_end_is_known(code: Code) -> None:
    async def body() -> None:
        async with keeping(Spares(2, code)) as spares:
            first, second = await spares.take(), await spares.take()
            template = spares.template
            assert template is not None
            assert threads(template.process.pid) == 1
            await until("the template to have nothing but the line to its worker", lambda: alone(template))
            assert not sockets(first.process.pid) & (sockets(second.process.pid) | sockets(template.process.pid))
            assert os.getppid() != first.process.pid
            assert psutil.Process(first.process.pid).ppid() == os.getpid(), "the worker's, not the template's"
            assert os.getsid(first.process.pid) == first.process.pid, "a terminal's signals do not reach it"

            first.hand(order("sh -c 'sleep 300 & exit 3'"))
            assert await first.process.ended() == 3
            second.hand(order("sleep 300"))
            await until("the command", lambda: len(psutil.Process(second.process.pid).children()) == 1)
            command = psutil.Process(second.process.pid).children()[0]
            second.process.kill()
            assert await second.process.ended() == -signal.SIGKILL
            await until("the command's end", lambda: not running(command))

            segfault = await spares.take()
            os.kill(segfault.process.pid, signal.SIGSEGV)
            assert await segfault.process.ended() == -signal.SIGSEGV

            def cleared() -> bool:  # as a worker does it, again and again: what was killed a moment ago ends later
                reap_strangers()
                return not zombies()

            await until("their remains to be cleared away", cleared)

    run(body())


def zombies() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.prove
def test_the_template_is_renewed_and_runs_are_not_touched(
    code: Code, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "runbooks.worker")

    async def body() -> None:
        async with keeping(Spares(1, code)) as spares:
            at_work, old_spare = await spares.take(), await spares.take()
            at_work.hand(order("sh -c 'read line < pipe; exit 5'", folder=pipe(code.root).parent))
            spares.put_back(old_spare)
            first = template_pid(spares)

            write(code.root, "x = 2 +\n")  # broken: what is imported serves on
            await until("the failure", lambda: "cannot be imported" in caplog.text)
            assert "pack/part.py, line 1: SyntaxError: invalid syntax" in caplog.text
            assert template_pid(spares) == first
            spare = await spares.take()
            assert spare.process.alive
            spares.put_back(spare)

            write(code.root, "x = 2\n")  # mended: at once, not after the next wait
            await until("a template of the new code", lambda: template_pid(spares) != first)
            second = template_pid(spares)
            await until("the old template's end", lambda: not running(first))
            await until("the old spare's dismissal", lambda: not old_spare.process.alive)
            assert (await spares.take()).process.alive

            monkeypatch.setattr(templates, "MAY_GROW_BY", -1)
            await until("a template in place of the one that grew", lambda: template_pid(spares) != second)
            monkeypatch.setattr(templates, "MAY_GROW_BY", 1 << 40)
            assert "the template has grown by" in caplog.text

            third = template_pid(spares)
            os.kill(third, signal.SIGKILL)
            await until("a template in place of the killed one", lambda: template_pid(spares) != third)

            (code.root / "pipe").write_text("go on\n")
            assert await at_work.process.ended() == 5, "through all of this the run went on"

    run(body())


def test_what_goes_wrong_while_a_template_or_a_spare_is_made_is_tried_again(
    code: Code, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An update replaces Python itself for a moment; the files are gone for a moment; there are too many open files."""
    launch, pair = templates._launch, socket.socketpair
    launches, pairs = iter([FileNotFoundError(2, "No such file or directory", "python")]), iter([None, OSError(24, "")])

    def launched(*given: Any) -> int:
        if trouble := next(launches, None):
            raise trouble
        return launch(*given)

    def paired(*given: Any) -> Any:
        if trouble := next(pairs, None):
            raise trouble
        return pair(*given)

    monkeypatch.setattr(templates, "_launch", launched)

    async def body() -> None:
        async with keeping(Spares(1, code)) as spares:
            await until("the failure", lambda: "python" in caplog.text)
            monkeypatch.setattr(socket, "socketpair", paired)
            spares.put_back(await spares.take())
            code.root.rename(code.root.with_suffix(".away"))
            await until("the other failure", lambda: str(code.root) in caplog.text)
            code.root.with_suffix(".away").rename(code.root)
            spares.put_back(await spares.take())

    run(body())


def pipe(root: Path) -> Path:
    os.mkfifo(root / "pipe")
    return root / "pipe"


def template_pid(spares: Spares) -> int:
    assert spares.template is not None
    return spares.template.process.pid


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
            "started 1 thread",
        ),
        ("import socket\nkept = socket.socket()\n", "opened 1 connection"),
        ("import no_such_module\n", "pack/part.py, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        pytest.param("import os\nos._exit(4)\n", "it ended without a word", marks=pytest.mark.prove),
        pytest.param(
            "raise SystemExit('not today')\n", "pack/part.py, line 1: SystemExit: not today", marks=pytest.mark.prove
        ),
    ],
)
def test_a_template_that_must_not_be_forked_says_why(code: Code, source: str, told: str) -> None:
    write(code.root, source)

    async def body() -> None:
        with pytest.raises(NoTemplate, match=told):
            await Template.start(code)

    run(body())


WORKER = """
import asyncio, sys
from pathlib import Path
from tests.contract.test_worker_processes import Code, Spares, become_reaper, keeping, order

async def main(root):
    become_reaper()
    async with keeping(Spares(1, Code(root, ("pack",), ("pack.part",)))) as spares:
        child, spare = await spares.take(), await spares.take()
        child.hand(order("sleep 300", orphan_seconds=4))
        (root / "pids").write_text(f"{child.process.pid} {spare.process.pid} {spares.template.process.pid}")
        await asyncio.sleep(300)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.prove
def test_a_killed_worker_leaves_only_its_runs_and_those_not_for_ever(code: Code, tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], cwd=ROOT)
    pids = tmp_path / "pids"
    try:
        wait_for("the worker's processes", lambda: pids.exists() and pids.read_text().count(" ") == 2)
        child, spare, template = (psutil.Process(int(pid)) for pid in pids.read_text().split())
        wait_for("the command", lambda: len(child.children()) == 1)
        command = child.children()[0]
    finally:
        worker.kill()
        worker.wait()
    killed = time.monotonic()
    wait_for("the end of template and spare", lambda: not (running(template) or running(spare)), 5)
    time.sleep(max(0.0, killed + 2 - time.monotonic()))  # long enough for an end that comes too early to be seen
    assert running(child), "a run is seen through, although its worker is gone"
    wait_for("the end of the run, when its time is up", lambda: not running(child), 20)
    wait_for("the end of what it had started", lambda: not running(command), 5)


def running(process: psutil.Process | int) -> bool:
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_child_that_is_not_needed_ends_well(code: Code) -> None:
    async def body() -> None:
        async with keeping(Spares(1, code)) as spares:
            child: Child = await spares.take()
            child.dismiss()
            assert await child.process.ended() == 0

    run(body())


@pytest.mark.parametrize("turns", [1, 2, 3, 8])  # of the event loop, until nobody waits for it any more
def test_a_child_that_nobody_waits_for_any_more_reads_the_end_of_its_line(turns: int) -> None:
    async def body() -> None:
        ours, its = socket.socketpair()
        ours.setblocking(False)
        its.settimeout(5)
        with its:
            meeting = asyncio.create_task(Child.meet(ours))
            del ours
            for _ in range(turns):
                await asyncio.sleep(0)
            meeting.cancel()
            with pytest.raises(asyncio.CancelledError) as kept:
                await meeting
            assert kept.tb, "it keeps all that the meeting knew: nothing is closed only by being forgotten"
            assert await asyncio.to_thread(its.recv, 1) == b""

    run(body())
