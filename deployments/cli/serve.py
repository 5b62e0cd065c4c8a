"""`runbooks server`, `runbooks intake`, `runbooks rules`: Prefect, what runs beside it, what Prometheus is told."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import uvicorn
from cyclopts import Parameter
from cyclopts.validators import Number
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deployments.cli.installation import named_server, our_ledger, require_server
from deployments.cli.output import Exit, Json, UserError, log_to_stderr, out, print_json
from deployments.intake.app import create_app
from deployments.intake.intake import Intake
from deployments.rules import rules as site_rules
from deployments.rules import rules_yaml
from flows.catalogue import PLATFORMS, RUNBOOKS
from tasks.settings import settings
from tasks.sites import choose

PORT = 9087
PREFECT_WITHIN_SECONDS = 15.0
MOST_CONNECTIONS = 200  # what comes on top is answered with 503: the sender keeps its alerts and comes again


def server(
    *options: Annotated[str, Parameter(allow_leading_hyphen=True, help="Those of `prefect server start`.")],
) -> int:
    """Serve Prefect's API and UI, as `prefect server start` does; but on SQLite it does not stand still under load."""
    os.execv(sys.executable, [sys.executable, "-m", "deployments.server", *options])  # noqa: S606, it needs no shell


def intake(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on.", validator=Number(gte=1, lte=65535))] = PORT,
) -> int:
    """Serve the alert intake: Alertmanager's webhook at /alerts, with the bearer token RUNBOOKS_INTAKE_TOKEN.

    Prefect need not be there: alerts are kept in the ledger until it is. /health tells how everything is, /live whether
    this process has to be started again, /metrics is for Prometheus.
    """
    token = settings().intake_token
    if token is None or not token.get_secret_value():
        raise UserError("RUNBOOKS_INTAKE_TOKEN is not set: choose a secret, and give Alertmanager the same")
    named_server()
    # What fails here is tried again by the intake itself, so that nothing else has to wait for it.
    impatient = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: PREFECT_WITHIN_SECONDS}
    with temporary_settings(impatient), our_ledger() as ledger:
        log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
        app = create_app(Intake(ledger, RUNBOOKS, settings()), token)
        uvicorn.run(app, host=host, port=port, log_level="info", access_log=False, limit_concurrency=MOST_CONNECTIONS)
    return Exit.FINE


def rules(site: str, *, json: Json = False) -> int:
    """Print the Prometheus alert rules of a site.

    Args:
        site: The saved site.
    """
    require_server()
    if not site:
        raise UserError("name a site: see `runbooks sites`")
    platform = choose(PLATFORMS.values(), site).sites[0].platform
    print_json(site_rules(platform)) if json else out.print(rules_yaml(platform), markup=False, end="")
    return Exit.FINE
