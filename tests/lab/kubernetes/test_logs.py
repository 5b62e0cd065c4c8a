"""Container logs: what `kubectl logs` asks for, and a file that is replaced while it is followed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.kubernetes.kubelet.logs import LogOptions, LogWriter, read


def ask(path: Path, **query: str) -> str:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in read(path, LogOptions.of(query), lambda: False)])

    return asyncio.run(collect()).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    writer = LogWriter(path)
    for word in ("one", "two", "three"):
        writer.write("stdout", f"{word}\n".encode())
    writer.close()
    return path


def test_parts_of_a_log(log: Path) -> None:
    assert ask(log) == "one\ntwo\nthree\n"
    assert ask(log, tailLines="2") == "two\nthree\n"
    assert ask(log, tailLines="0") == ""
    assert ask(log, limitBytes="6") == "one\ntw"
    assert ask(log, sinceSeconds="60", follow="true") == "one\ntwo\nthree\n"
    stamps = [line.split(" ")[0] for line in ask(log, timestamps="true").splitlines()]
    assert stamps == sorted(stamps)
    assert ask(log, sinceTime=stamps[1]) in ("two\nthree\n", "one\ntwo\nthree\n")  # compared by the microsecond
    with pytest.raises(ValueError, match="invalid literal"):
        LogOptions.of({"tailLines": "many"})


def test_lines_without_end_and_beyond_all_limits_are_kept(tmp_path: Path) -> None:
    async def copy() -> None:
        source = asyncio.StreamReader(limit=1 << 10)
        source.feed_data(b"x" * 3_000 + b"\nshort\nlast")
        source.feed_eof()
        await LogWriter(tmp_path / "0.log").copy("stderr", source)

    asyncio.run(copy())
    assert ask(tmp_path / "0.log") == "x" * 3_000 + "\nshort\nlast"


def test_following_ends_when_the_log_is_removed(log: Path) -> None:
    def is_running() -> bool:
        log.unlink(missing_ok=True)
        return False

    async def scenario() -> list[bytes]:
        return [chunk async for chunk in read(log, LogOptions(follow=True), is_running)]

    assert asyncio.run(scenario()) == [b"one\n", b"two\n", b"three\n"]


def test_following_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(path, limit=200)
    running = True

    async def follow() -> bytes:
        return b"".join([chunk async for chunk in read(path, LogOptions(follow=True), lambda: running)])

    async def scenario() -> bytes:
        nonlocal running
        writer.write("stdout", b"first\n")
        following = asyncio.create_task(follow())
        for number in range(4):
            await asyncio.sleep(0)
            writer.write("stdout", f"{number} {'x' * 80}\n".encode())
            await asyncio.sleep(0.25)
        running = False
        return await following

    lines = asyncio.run(scenario()).decode().splitlines()
    assert [line[0] for line in lines] == ["f", "0", "1", "2", "3"]
    assert path.with_suffix(".log.1").exists()
