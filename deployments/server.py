"""The Prefect server, so that it does not stand still on SQLite.

`prefect server start` on SQLite can freeze for a minute: Python collects garbage in whichever thread happens to be at
work, and among the garbage are cursors of the database. To let one go its connection must be free; but while another
statement of that connection waits for the database's only writer, it is not, and when it is the event loop that
collects, the writer itself cannot go on either. That ends when SQLite's own patience ends, after 60 seconds. Every
event of every run makes it a little likelier.

Here a thread of its own collects, and it may wait. On PostgreSQL there is nothing to wait for, and nothing is changed.
"""

from __future__ import annotations

import gc
import sys
import threading
import time

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


def main() -> None:
    """What `prefect server start` does, with the same options."""
    from prefect.cli import app
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    if (PREFECT_API_DATABASE_CONNECTION_URL.value() or "sqlite").startswith("sqlite"):
        collect_apart()
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    app()


if __name__ == "__main__":
    main()
