"""The Prefect server: whether one is named, whether it answers, and of which version it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import prefect
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.systems.errors import explain
from tasks.systems.prefect import get_client

NOT_NAMED = Kind(
    "prefect-not-named",
    Health.BROKEN,
    "no site can be read and no run started; Prefect would start a server of its own in silence",
    "export PREFECT_API_URL=http://HOST:4200/api",
)
UNREACHABLE = Kind(
    "prefect-unreachable",
    Health.BROKEN,
    "no run starts and no change is begun; only the intake still calls people",
    "runbooks server, or set PREFECT_API_URL to the server that runs",
)
REFUSES = Kind(
    "prefect-refuses",
    Health.BROKEN,
    "nothing that is started from here reaches it; workers that have the password go on",
    "export PREFECT_API_AUTH_STRING=USER:PASSWORD, as the server has it",
)
NOT_THE_API = Kind(
    "prefect-api-elsewhere",
    Health.BROKEN,
    "what answers there is a page, not Prefect's API: no run starts and no change is begun",
    "export PREFECT_API_URL=http://HOST:4200/api: it ends in /api",
)
VERSIONS_DIFFER = Kind(
    "prefect-versions-differ",
    Health.DOUBTFUL,
    "only one version of client and server was tested together",
    "pip install prefect=={client} on the server's host (with the pins of requirements.lock), and restart it",
)
KINDS = (NOT_NAMED, UNREACHABLE, REFUSES, NOT_THE_API, VERSIONS_DIFFER)


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself: `version`, or why it says nothing, and what kind of trouble that is. `url` is
    empty where none is named."""

    url: str
    version: str = ""
    trouble: str = ""
    kind: Kind = UNREACHABLE

    @property
    def answers(self) -> bool:
        return bool(self.version)


def read() -> Server:
    """The server as it is now."""
    url = str(get_current_settings().api.url or "")
    if not url:
        return Server("")
    try:
        with get_client(sync_client=True) as client:
            client.request("GET", "/health").raise_for_status()
            return Server(url, client.api_version())
    except ValueError:  # Prefect's own UI answers any path
        return Server(url, trouble="what answers is no JSON", kind=NOT_THE_API)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        return Server(url, trouble=f"it answers {status}", kind=REFUSES if status in (401, 403) else UNREACHABLE)
    except Exception as error:  # whatever it is, the server is of no use to anybody
        return Server(url, trouble=Unknown.because(explain(error)).reason)


def judge(server: Server, client: str = prefect.__version__) -> Iterable[Finding]:
    """Whether the server can be used."""
    what = f"Prefect server {server.url}".strip()
    if not server.url:
        yield NOT_NAMED.found(what, "PREFECT_API_URL is not set")
    elif not server.answers:
        yield server.kind.found(what, server.trouble)
    elif server.version != client:
        yield VERSIONS_DIFFER.found(what, f"server {server.version}, client {client}", client=client)
    else:
        yield fine(what, f"answers, version {server.version} as the client")
