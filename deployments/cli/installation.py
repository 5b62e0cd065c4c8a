"""What commands need of the installation: its Prefect server, its ledger, its sites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from deployments.cli.output import UserError, err
from flows.catalogue import PLATFORMS
from tasks.installation import not_another
from tasks.ledger import Ledger
from tasks.settings import settings
from tasks.sites import SiteBroken, choose
from tasks.systems.prefect import get_client


def require_server() -> None:
    """A Prefect server must be named and answer, or Prefect would start one of its own in silence.

    Raises:
        UserError: it does not.
    """
    if why := _no_server():
        raise UserError(why)


def named_server() -> str:
    """The address of the Prefect server's API.

    Raises:
        UserError: none is named, and Prefect would start one of its own in silence.
    """
    url = get_current_settings().api.url
    if not url:
        raise UserError("no Prefect server is named: set PREFECT_API_URL, e.g. http://127.0.0.1:4200/api")
    return url


def _no_server() -> str:
    """Why there is no Prefect server to ask, or the empty string."""
    try:
        url = named_server()
    except UserError as error:
        return str(error)
    with get_client(sync_client=True) as client:
        if trouble := client.api_healthcheck():
            return f"the Prefect server at {url} does not answer: {trouble}"
        try:
            client.api_version()
        except ValueError:  # a page instead of JSON: Prefect's own UI answers any path
            return f"what answers at {url} is not Prefect's API: does the URL end in /api?"
        except PrefectHTTPStatusError as error:
            return refused(error.response.status_code)
        except httpx.TransportError as error:
            return f"the Prefect server at {url} does not answer: {error}"
    return ""


def refused(status: int) -> str:
    """What to do when the Prefect server answers with an error."""
    if status in (401, 403):
        return f"the Prefect server does not let this command in ({status}): set PREFECT_API_AUTH_STRING as it has it"
    return f"the Prefect server answered {status}: look into its log"


@contextmanager
def our_ledger(site: str = "") -> Iterator[Ledger]:
    """The installation's ledger, for who looks or steers, perhaps at one site.

    Automation can be paused without a Prefect server; then nobody knows whether this is the right ledger, and the
    person is told.

    Raises:
        WrongLedger: it is another one: to pause there would stop nothing.
        SiteNotFound: there is no such site.
    """
    with closing(Ledger(settings().ledger)) as ledger:
        if why := _no_server():
            err.print(
                f"{why}; whether {ledger.database.name} is the ledger of the installation is not known", markup=False
            )
        else:
            not_another(ledger)
            require_site(site)
        yield ledger


def require_site(site: str) -> None:
    """A site that is named must be saved: what is done at a misspelt one is done nowhere.

    Raises:
        SiteNotFound: it is not.
    """
    if site:
        with suppress(SiteBroken):  # one that cannot be used can be paused all the same
            choose(PLATFORMS.values(), site)
