"""An empty database for Prefect's server on SQLite, made once per version of Prefect and copied from then on.

A server that finds none makes its tables by hundreds of migrations, one after the other: a quarter of a minute of
computing, each time that the demo, a test or a measurement begins with a new one.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import prefect

from deployments.command import CommandFailed, run_module
from tasks.settings import cache_folder

MAKING_SECONDS = 300.0


class DatabaseError(Exception):
    """Prefect's own command, which makes the tables, failed; the text says why."""


def provide(database: Path) -> None:
    """Puts an empty database where the server will look for one, unless it is there already.

    Raises:
        DatabaseError: none can be made.
        OSError: it cannot be written.
    """
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    draft = database.with_suffix(".draft")
    shutil.copyfile(kept(), draft)
    draft.replace(database)


def kept() -> Path:
    """The one that is copied; made here if there is none yet.

    Raises:
        DatabaseError: it cannot be made.
        OSError: it cannot be written.
    """
    database = cache_folder() / f"prefect-{prefect.__version__}.db"
    if not database.exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=database.parent) as folder:
            draft = Path(folder) / database.name
            _make(draft)
            draft.replace(database)  # whole, also where two make it at the same time
    return database


def _make(database: Path) -> None:
    environment = {
        "PREFECT_HOME": str(database.parent),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
    }
    try:
        run_module(["prefect", "server", "database", "upgrade", "--yes"], environment, MAKING_SECONDS)
    except CommandFailed as error:
        raise DatabaseError(f"its tables could not be made: {error}") from error


if __name__ == "__main__":
    print(kept())  # noqa: T201
