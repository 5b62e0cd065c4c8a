"""Real servers as children of the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lab import plain_http


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(package: str, *names: str) -> str:
    """The program, under the first of the names that is installed. Skips the test when there is none, and says so; on
    CI that is a failure."""
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is not None:
        return program
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run this test: {package} is missing (apt install {package})")
    pytest.skip(f"NOT TESTED: {package} is missing (apt install {package})")


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, ready: Callable[[], bool], within: float = 30) -> Iterator[int]:
    """The server's pid, from when it is ready; it is ended when the block ends."""
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + within
            while not ready():
                assert process.poll() is None, log.read_text(errors="replace")[-2000:]
                assert time.monotonic() < deadline, f"{command[0]} is not ready within {within:g} s; see {log}"
                time.sleep(0.05)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(url: str) -> bool:
    """Whether the URL answers with success."""
    return plain_http.get(url) is not None
