"""The kill switch: three ways to stop all automation, read before every write.

By command (`runbooks pause`, kept in the ledger, for all sites or one), by the Prefect variable `runbooks_paused` in
the UI, and by a file on the worker, which works when nothing else does.
"""

from __future__ import annotations

from tasks.ledger import Ledger
from tasks.settings import settings
from tasks.systems.prefect import get_client

VARIABLE = "runbooks_paused"
_OFF = ("", "false", "no", "off", "0", "none", "null")


def paused(ledger: Ledger, site: str) -> str:
    """Why all automation at a site is paused, or the empty string.

    Raises:
        Exception: the ledger or the Prefect server cannot be asked. Then nothing may be written either.
    """
    return _by_file() or _by_command(ledger, site) or _by_variable()


def _by_file() -> str:
    file = settings().pause_file
    if not file.exists():
        return ""
    return f"by the file {file.name}: {file.read_text(errors='replace').strip()[:200] or 'no reason given'}"


def _by_command(ledger: Ledger, site: str) -> str:
    pause = ledger.pauses.active(site)
    return f"by {pause.by} since {pause.at:%Y-%m-%d %H:%M} UTC: {pause.reason or 'no reason given'}" if pause else ""


def _by_variable() -> str:
    with get_client(sync_client=True) as client:
        variable = client.read_variable_by_name(VARIABLE)
    value = str(variable.value).strip() if variable is not None and variable.value is not None else ""
    return "" if value.lower() in _OFF else f"by the variable {VARIABLE} in the Prefect UI: {value}"
