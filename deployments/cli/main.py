"""The `runbooks` command: its parts, and how errors are told."""

from __future__ import annotations

import sys

import httpx
from cyclopts import App
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.markup import escape

from deployments.cli import alerts, automations, control, doctor, ground, ledger, runs, serve, show, sites, worker
from deployments.cli.installation import refused
from deployments.cli.output import Exit, UserError, err
from lab.model import GroundError
from tasks.installation import WrongLedger
from tasks.ledger import LedgerUnavailable
from tasks.redact import redact
from tasks.sites import SiteBroken, SiteNotFound, misfit
from tasks.version import code_version

app = App(
    name="runbooks",
    help="Operational runbooks that run themselves: diagnose, decide, mitigate, validate.",
    version=code_version,
    default_parameter=None,
    result_action="return_value",
)
app.command(show.list_runbooks, name="list")
app.command(show.show)
app.command(runs.plan)
app.command(runs.run)
app.command(runs.status)
app.command(alerts.alerts)
app.command(control.approve)
app.command(control.take)
app.command(control.changes)
app.command(control.restore)
app.command(control.pause)
app.command(control.resume)
app.command(sites.app)
app.command(ledger.app)
app.command(automations.app)
app.command(ground.app)
app.command(serve.server)
app.command(worker.worker)
app.command(serve.intake)
app.command(serve.rules)
app.command(doctor.role)
app.command(doctor.doctor)

_TOLD = (UserError, GroundError, LedgerUnavailable, WrongLedger, SiteBroken, SiteNotFound)


def main() -> None:
    """Runs the command line. Known troubles end in one sentence and a code, never in a traceback."""
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=True)
    except KeyboardInterrupt:
        err.print("interrupted")
        code = 130
    except _TOLD as error:
        code = _tell(str(error))
    except OSError as error:
        code = _tell(f"{error.filename or 'a file'}: {error.strerror or error}")
    except (httpx.TransportError, ObjectNotFound) as error:
        code = _tell(f"the Prefect server does not answer as expected ({error}): check PREFECT_API_URL")
    except ValidationError as error:  # what was stored or set once does not fit any more
        what = "what the environment sets (RUNBOOKS_...)" if error.title == "Settings" else f"a stored {error.title}"
        code = _tell(f"{what} does not fit: {misfit(error)}")
    except SettingsError as error:
        code = _tell(f"what the environment sets (RUNBOOKS_...) does not fit: {error}")
    except PrefectHTTPStatusError as error:
        code = _tell(refused(error.response.status_code))
    except Exception as error:
        if type(error).__module__.startswith("cyclopts"):
            code = Exit.USAGE  # already told, with the usage
        else:
            raise
    sys.exit(int(code or 0))


def _tell(text: str) -> int:
    err.print(f"[red]error:[/red] {escape(redact(' '.join(text.split())))}")
    return Exit.USAGE
