"""Detached processes and their pid files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.model import GroundError
from lab.processes import Processes
from tests.waiting import wait_for

SLEEP = shutil.which("sleep") or "sleep"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    table = Processes(tmp_path)
    yield table
    table.stop(["one", "two"])


def test_a_process_is_started_and_ended(processes: Processes) -> None:
    processes.start("one", [SLEEP, "60"])
    assert processes.running("one")
    processes.stop(["one", "unknown"])
    assert not processes.running("one")


def test_another_program_can_end_it(processes: Processes, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from lab.processes import Processes; P = Processes(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", f"{code}; P.start('one', [{SLEEP!r}, '60'])", str(tmp_path)], check=True)
    assert processes.running("one")
    processes.stop(["one"])
    assert not processes.running("one")


def test_who_does_not_listen_is_killed(processes: Processes, tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    processes.start("one", [sys.executable, "-c", deaf])
    wait_for("it is deaf", lambda: processes.last_words("one") == "deaf", 10)
    processes.stop(["one"], patience=0.2)
    assert not processes.running("one")


def test_who_is_killed_has_no_time_to_say_so(processes: Processes) -> None:
    polite = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('bye', flush=True)); "
        "print('here', flush=True); time.sleep(60)"
    )
    processes.start("one", [sys.executable, "-c", polite])
    wait_for("it is there", lambda: processes.last_words("one") == "here", 10)
    processes.kill("one")
    assert not processes.running("one")
    assert processes.last_words("one") == "here"
    processes.kill("one")
    processes.kill("unknown")
    processes.start("one", [SLEEP, "60"])
    assert processes.running("one")


def test_a_pid_that_was_given_away_again_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    processes.start("one", [SLEEP, "60"])
    path = tmp_path / "one.pid"
    truth = json.loads(path.read_text())
    path.write_text(json.dumps({**truth, "started": str(int(truth["started"]) - 1)}))  # An earlier process of that pid.
    assert not processes.running("one")
    processes.stop(["one"])
    assert Path(f"/proc/{truth['pid']}").exists()
    path.write_text(json.dumps(truth))


def test_who_ends_while_starting_is_told_with_its_last_words(processes: Processes) -> None:
    processes.start("one", [sys.executable, "-c", "print('port 80 is taken'); raise SystemExit(1)"])
    with pytest.raises(GroundError, match=r"one ended while starting.*port 80 is taken"):
        processes.wait("never", lambda: False, ["one"], seconds=10)


def test_waiting_has_an_end(processes: Processes) -> None:
    processes.start("one", [SLEEP, "60"])
    with pytest.raises(GroundError, match=r"never took longer than 0.1 s"):
        processes.wait("never", lambda: False, ["one"], seconds=0.1)


def test_a_program_that_does_not_exist_is_told(processes: Processes) -> None:
    with pytest.raises(GroundError, match="one cannot be started"):
        processes.start("one", [os.devnull + "/none"])
