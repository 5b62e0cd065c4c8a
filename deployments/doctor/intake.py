"""The alert intake: whether it answers, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.systems.errors import explain
from tasks.systems.tls import trusted

UNREACHABLE = Kind(
    "intake-unreachable",
    Health.BROKEN,
    "no alert becomes an incident, nobody is called when a response time runs out, and crashed runs are not picked up",
    "RUNBOOKS_INTAKE_TOKEN=... runbooks intake, or tell where it is: runbooks doctor --intake URL",
)
UNWELL = Kind(
    "intake-unwell",
    Health.BROKEN,
    "it answers and does not do its work: alerts may be turned away, and nobody keeps watch",
    "see its log; what it needs is the ledger (RUNBOOKS_LEDGER) and the Prefect server (PREFECT_API_URL)",
)
KINDS = (UNREACHABLE, UNWELL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What /health answered; `status` is 0 where nothing came, and `said` then why."""

    status: int
    said: str


def read(url: str) -> Answer:
    """Asks the intake how it is."""
    try:
        with httpx.Client(timeout=5.0, verify=trusted()) as http:
            answer = http.get(f"{url.rstrip('/')}/health")
    except httpx.HTTPError as error:
        return Answer(0, Unknown.because(explain(error)).reason)
    return Answer(answer.status_code, answer.text.strip()[:300])


def judge(url: str, answer: Answer) -> Iterable[Finding]:
    """Whether it takes alerts."""
    what = f"alert intake {url}"
    if not answer.status:
        yield UNREACHABLE.found(what, answer.said)
    elif answer.status != httpx.codes.OK:
        yield UNWELL.found(what, f"/health answered {answer.status}: {answer.said}")
    else:
        yield fine(what, f"/health answered {answer.said}")
