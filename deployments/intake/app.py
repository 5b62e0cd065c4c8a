"""The intake as a web application: authenticated, limited in size, validated, with an answer for every alert."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.concurrency import run_in_threadpool

from deployments.intake.handle import Fate, Handled, handle
from deployments.intake.watch import Watch
from deployments.intake.webhook import Alert, Notification
from flows.catalogue import PLATFORMS, RUNBOOKS
from tasks.ledger import Ledger
from tasks.sites import Site, all_sites
from tasks.systems.errors import explain

MAX_BYTES = 2_000_000
SITES_KEPT_SECONDS = 10.0
SITES_KEPT_AT_LEAST_SECONDS = 1.0  # a flood of alerts that nobody knows must not become a flood of readings

log = logging.getLogger("runbooks.intake")


class Answer(BaseModel):
    """What became of each alert, in the order of the request."""

    alerts: list[Handled]


class SiteBook:
    """The saved sites, read again when they are older than a few seconds."""

    def __init__(self, read: Callable[[], Sequence[Site]] = lambda: all_sites(PLATFORMS.values())) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._sites: Sequence[Site] = ()
        self._read_at = float("-inf")

    def sites(self, *, not_older_than: float = SITES_KEPT_SECONDS) -> Sequence[Site]:
        """The sites as they were at most so many seconds ago."""
        with self._lock:
            if time.monotonic() - self._read_at > not_older_than:
                self._sites = self._read()
                self._read_at = time.monotonic()
            return self._sites


def create_app(ledger: Ledger, token: SecretStr, sites: SiteBook | None = None) -> FastAPI:
    """The intake's application, with the watch beside it. Every call but `/health` must show the bearer token."""
    book = sites or SiteBook()
    watch = Watch(ledger, RUNBOOKS, book.sites)

    @asynccontextmanager
    async def watching(app: FastAPI) -> AsyncIterator[None]:
        watch.start()
        yield
        await run_in_threadpool(watch.stop)

    app = FastAPI(title="Alert intake of prefect-runbooks", docs_url=None, redoc_url=None, lifespan=watching)

    def authenticate(authorization: Annotated[str, Header()] = "") -> None:
        shown = authorization.removeprefix("Bearer ").encode()
        if not hmac.compare_digest(shown, token.get_secret_value().encode()):
            raise HTTPException(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    @app.get("/health")
    def health() -> dict[str, str]:
        ledger.incidents.latest(1)
        return {"status": "ok"}

    @app.post("/alerts", dependencies=[Depends(authenticate)])
    async def alerts(request: Request) -> Answer:
        notification = _parse(await _body(request))
        return Answer(alerts=await run_in_threadpool(_handle_all, ledger, book, notification))

    return app


async def _body(request: Request) -> bytes:
    """The request's body, given up on as soon as it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"the body is longer than {MAX_BYTES} bytes: send fewer alerts at once")
    return bytes(body)


def _parse(body: bytes) -> Notification:
    try:
        return Notification.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise HTTPException(
            422, f"not an Alertmanager webhook of version 4: {where}: {first['msg']} ({error.error_count()} in all)"
        ) from error


def _in_order(alerts: Sequence[Alert], handle_one: Callable[[Alert], Handled]) -> list[Handled]:
    """Handles what is resolved before what is firing: of two alerts with one name, the one that is on counts. The
    answers are in the order of the request."""
    turns = sorted(range(len(alerts)), key=lambda place: alerts[place].status == "firing")
    answers = {place: handle_one(alerts[place]) for place in turns}
    return [answers[place] for place in range(len(alerts))]


def _handle(ledger: Ledger, book: SiteBook, alert: Alert) -> Handled:
    handled = handle(ledger, RUNBOOKS, book.sites(), alert)
    if handled.fate is Fate.NO_SITE:  # perhaps a site that was saved a moment ago
        handled = handle(ledger, RUNBOOKS, book.sites(not_older_than=SITES_KEPT_AT_LEAST_SECONDS), alert)
    return handled


def _handle_all(ledger: Ledger, book: SiteBook, notification: Notification) -> list[Handled]:
    try:
        handled = _in_order(notification.alerts, lambda alert: _handle(ledger, book, alert))
    except Exception as error:  # the sender keeps the alerts and tries again
        log.error("alerts could not be handled: %s", explain(error))
        raise HTTPException(503, f"try again: {explain(error)}", {"Retry-After": "5"}) from error
    for one in handled:
        level = logging.WARNING if one.fate in (Fate.NO_RUNBOOK, Fate.NO_SITE) else logging.INFO
        log.log(level, "%s at %s: %s", one.alert or "an alert without name", one.site or "no site", one.fate)
    return handled
