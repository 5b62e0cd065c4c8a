"""`runbooks intake` and `runbooks rules`: what runs beside Prefect, and what Prometheus is told."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from cyclopts import Parameter
from cyclopts.validators import Number

from deployments.cli.installation import require_server
from deployments.cli.output import Exit, Json, UserError, out, print_json
from deployments.intake.app import create_app
from deployments.rules import rules as site_rules
from deployments.rules import rules_yaml
from flows.catalogue import PLATFORMS
from tasks.installation import our_ledger
from tasks.settings import settings
from tasks.sites import SiteUnusable, look_up


def intake(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.", validator=Number(gte=1, lte=65535))] = 9087,
) -> int:
    """Serve the alert intake: Alertmanager's webhook at /alerts, with the bearer token RUNBOOKS_INTAKE_TOKEN."""
    token = settings().intake_token
    if token is None or not token.get_secret_value():
        raise UserError("RUNBOOKS_INTAKE_TOKEN is not set: choose a secret, and give Alertmanager the same")
    require_server()
    with our_ledger() as ledger:
        uvicorn.run(create_app(ledger, token), host=host, port=port, log_level="info", access_log=False)
    return Exit.FINE


def rules(site: str, *, json: Json = False) -> int:
    """Print the Prometheus alert rules of a site.

    Args:
        site: The saved site.
    """
    require_server()
    sites = look_up(PLATFORMS.values()).named(site)
    if sites.unusable:
        raise SiteUnusable(sites.unusable[site])
    if not (site and sites.usable):
        raise UserError(f"there is no site {site!r}: see `runbooks sites`")
    platform = sites.usable[0].platform
    print_json(site_rules(platform)) if json else out.print(rules_yaml(platform), markup=False, end="")
    return Exit.FINE
