"""Files that other programs read while they are written."""

from __future__ import annotations

import threading
from pathlib import Path

from lab.files import read_whole, write_whole


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, done = tmp_path / "file", threading.Event()
    assert read_whole(path) is None
    texts = {letter * 200_000 for letter in "ab"}
    write_whole(path, "a" * 200_000)

    def write() -> None:
        for _ in range(100):
            for text in texts:
                write_whole(path, text)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(read_whole(path))
    writer.join()
    assert seen <= texts
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_it_is_for_the_owner_only(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "secret")
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0
