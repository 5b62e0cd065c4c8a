"""A duty of the watch: what fails is logged, and keeps nothing else from its turn."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.systems.errors import explain

log = logging.getLogger("runbooks.watch")


@contextmanager
def duty(what: str) -> Iterator[None]:
    """The block may fail; it is tried again at the next look."""
    try:
        yield
    except Exception as error:
        log.error("%s: %s", what, explain(error))
