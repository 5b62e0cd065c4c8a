"""The Prefect server, so that on SQLite it neither stands still nor loses events.

**It stands still.** `prefect server start` on SQLite can freeze for a minute: Python collects garbage in whichever
thread happens to be at work, and among the garbage are cursors of the database. To let one go its connection must be
free; but while another statement of that connection waits for the database's only writer, it is not, and when it is the
event loop that collects, the writer itself cannot go on either. That ends when SQLite's own patience ends, after 60
seconds. Every event of every run makes it a little likelier.

Here a thread of its own collects, and it may wait.

**It loses events.** Most transactions of the server read first and write then. In SQLite such a one fails at its write,
at once and whatever the patience, if another one has written since it read: "database is locked". So API calls end with
500, and what an automation is to be told of an event is tried five times within half a second, and thrown away. Here
every transaction takes its turn as a writer before it reads.

On PostgreSQL neither happens, and nothing is changed.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import Any

YOUNG_SECONDS = 0.5  # between two collections of what is new
FULL_EVERY = 120  # collections of what is new for one of everything


def collect_apart() -> threading.Thread:
    """From now on no thread collects garbage but this one, which is begun here and never ends."""
    gc.disable()
    thread = threading.Thread(target=_collect, name="garbage collection", daemon=True)
    thread.start()
    return thread


def _collect() -> None:
    turn = 0
    while True:
        time.sleep(YOUNG_SECONDS)
        turn += 1
        gc.collect(2 if turn % FULL_EVERY == 0 else 1)


def take_turns() -> None:
    """From now on every transaction on SQLite is begun as a writer's."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin: Any = AioSqliteConfiguration.begin_transaction

    def begin_as_writer(self: Any, session: Any, with_for_update: bool = False) -> Any:
        return begin(self, session, with_for_update=True)

    configuration: Any = AioSqliteConfiguration
    configuration.begin_transaction = begin_as_writer


def main() -> None:
    """What `prefect server start` does, with the same options."""
    from prefect.cli import app
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    if (PREFECT_API_DATABASE_CONNECTION_URL.value() or "sqlite").startswith("sqlite"):
        collect_apart()
        take_turns()
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    app()


if __name__ == "__main__":
    main()
