"""`runbooks intake` and `runbooks rules`: what runs beside Prefect, and what Prometheus is told."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from cyclopts import Parameter

from deployments.cli.output import Exit, UserError, out
from deployments.cli.runs import require_server
from deployments.intake.app import create_app
from deployments.rules import rules_yaml
from flows.catalogue import PLATFORMS
from tasks.ledger import Ledger
from tasks.settings import settings
from tasks.sites import all_sites

PORT = 9087


def intake(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.")] = PORT,
) -> int:
    """Serve the alert intake: Alertmanager's webhook at /alerts, with the bearer token RUNBOOKS_INTAKE_TOKEN."""
    token = settings().intake_token
    if token is None or not token.get_secret_value():
        raise UserError("RUNBOOKS_INTAKE_TOKEN is not set: choose a secret, and give Alertmanager the same")
    require_server()
    ledger = Ledger(settings().ledger)
    try:
        uvicorn.run(create_app(ledger, token), host=host, port=port, log_level="info", access_log=False)
    finally:
        ledger.close()
    return Exit.FINE


def rules(site: str) -> int:
    """Print the Prometheus alert rules of a site.

    Args:
        site: The saved site.
    """
    require_server()
    found = next((s for s in all_sites(PLATFORMS.values()) if s.name == site), None)
    if found is None:
        raise UserError(f"there is no site {site!r}: see `runbooks sites`")
    out.print(rules_yaml(found.platform), markup=False, end="")
    return Exit.FINE
