"""The trusted certificates, read once per template instead of by everything in a run that talks to Prefect's server.

State, log and events of a run have clients of their own, and each reads all certificates anew, also for a server
without TLS. That takes as long as a probe, three times in the first second of every run.
"""

from __future__ import annotations

import ssl
from functools import cache
from types import ModuleType
from typing import Any

from prefect._internal import version_checking
from prefect.client import orchestration

READERS: tuple[Any, ...] = (orchestration, version_checking)
"""The modules of Prefect that make a context for each client. None of them changes one after it is made, but to switch
off the verification where the setting says so; then that is meant for all of them."""


def read_once() -> None:
    """From now on Prefect's clients of this process, and of its children, share what was read."""
    remembering = _remembering()
    for module in READERS:
        module.ssl = remembering
    orchestration.SyncPrefectClient("http://127.0.0.1/api")  # reads them; it connects to nobody


def _remembering() -> Any:
    """The module `ssl`, except that it makes a context of the same certificates only once."""
    copy: Any = ModuleType("ssl")
    vars(copy).update(vars(ssl))
    copy.create_default_context = cache(ssl.create_default_context)
    return copy
