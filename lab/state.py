"""What one program has to know to deal with a ground that another one brought up: the files of its state folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from lab.blueprint import Wishes
from lab.cluster import ClusterAccess
from lab.files import read_whole, write_whole
from lab.model import ActiveFault, Endpoints
from lab.program import Program

Content = TypeVar("Content", bound=BaseModel)


class Record(BaseModel):
    """What the ground was built from. It holds tokens."""

    model_config = ConfigDict(frozen=True)

    wishes: Wishes
    programs: tuple[Program, ...]
    access: ClusterAccess
    endpoints: Endpoints

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the ground's processes."""
        return tuple(program.name for program in self.programs)


class Document(Generic[Content]):
    """A file with one object in it, which is whole or not there at all."""

    def __init__(self, path: Path, model: type[Content]) -> None:
        """Nothing is read or written yet."""
        self._path, self._model = path, model

    def read(self) -> Content | None:
        """The object, or None when there is none."""
        text = read_whole(self._path)
        return None if text is None else self._model.model_validate_json(text)

    def write(self, content: Content) -> None:
        """Put an object in the place of the one before."""
        write_whole(self._path, content.model_dump_json(indent=2))

    def remove(self) -> None:
        """Remove the object; nothing happens if there is none."""
        self._path.unlink(missing_ok=True)


class State:
    """The state folder of a ground."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder.resolve()
        self.record = Document(self.folder / "record.json", Record)
        """There from the first moment of bringing the ground up to the last of taking it down."""
        self.endpoints = Document(self.folder / "endpoints.json", Endpoints)
        """There while the ground is up."""
        self.fault = Document(self.folder / "fault.json", ActiveFault)
        """There while the ground is broken."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other programs from changing the ground at the same time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
