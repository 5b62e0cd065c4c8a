"""Whether the code has changed since it was imported, and how a failed import is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.worker.code import OWN, Code
from deployments.worker.fork_server import in_one_sentence
from deployments.worker.spares import BackOff
from tests.unit.clocks import Steady


@pytest.fixture
def code(tmp_path: Path) -> Code:
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    (tmp_path / "pack" / "one.py").write_text("a = 1\n")
    (tmp_path / "pack" / "inner" / "two.py").write_text("b = 2\n")
    return Code(tmp_path, ("pack",), ("pack.one",))


def test_the_same_files_have_the_same_fingerprint(code: Code) -> None:
    assert code.fingerprint() == code.fingerprint()
    assert len(code.fingerprint()) == 2


CHANGES: list[tuple[str, Callable[[Path], object]]] = [
    ("other content", lambda root: (root / "pack/one.py").write_text("a = 11\n")),
    ("the same length, later", lambda root: os.utime(root / "pack/one.py", ns=(1, 1))),
    ("a new file", lambda root: (root / "pack/inner/three.py").write_text("")),
    ("a file less", lambda root: (root / "pack/inner/two.py").unlink()),
    ("another name", lambda root: (root / "pack/one.py").rename(root / "pack/uno.py")),
]


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_every_change_of_a_source_is_seen(code: Code, what: str, change: Callable[[Path], object]) -> None:
    before = code.fingerprint()
    change(code.root)
    assert code.fingerprint() != before


def test_what_is_no_source_does_not_matter(code: Code) -> None:
    before = code.fingerprint()
    (code.root / "pack" / "notes.txt").write_text("x")
    (code.root / "pack" / "__pycache__").mkdir()
    (code.root / "pack" / "__pycache__" / "one.cpython-311.pyc").write_text("x")
    assert code.fingerprint() == before


def test_all_that_runs_are_made_of_is_looked_at() -> None:
    seen = {Path(path).relative_to(OWN.root).as_posix() for path, _, _ in OWN.fingerprint()}
    assert {"flows/catalogue.py", "tasks/respond.py", "tasks/systems/redis.py", "deployments/worker/child.py"} <= seen


def test_a_failed_import_is_told_in_one_sentence_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("import json\n\nx = json.loads('{')\n")
    (tmp_path / "typo.py").write_text("def f(:\n    pass\n")
    assert failing(tmp_path / "broken.py").startswith("broken.py, line 3: JSONDecodeError: Expecting property name")
    assert failing(tmp_path / "typo.py") == "typo.py, line 1: SyntaxError: invalid syntax (typo.py, line 1)"
    assert in_one_sentence(ModuleNotFoundError("No module named 'x'")) == "ModuleNotFoundError: No module named 'x'"


def failing(path: Path) -> str:
    try:
        exec(compile(path.read_text(), path, "exec"), {})  # noqa: S102 - our own code
    except Exception as error:
        return in_one_sentence(error)
    raise AssertionError("it does not fail")


def test_what_failed_is_tried_later_and_later_and_at_once_when_the_code_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Steady(monkeypatch)
    broken, mended = frozenset({("a", 1, 1)}), frozenset({("a", 2, 1)})
    back_off = BackOff()
    assert back_off.over(broken)
    waits = []
    for _ in range(9):
        waits.append(back_off.failed(broken))
        assert not back_off.over(broken)
        assert back_off.over(mended)
        clock.forward(waits[-1])
        assert back_off.over(broken)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert back_off.failed(mended) == 1
