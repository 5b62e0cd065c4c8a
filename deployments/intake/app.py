"""The intake as a web application: authenticated, limited in size, validated, with an answer for every alert."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.concurrency import run_in_threadpool

from deployments.intake.desk import Full
from deployments.intake.handle import Handled
from deployments.intake.health import VITAL
from deployments.intake.intake import Intake
from deployments.intake.webhook import Notification
from tasks.systems.errors import explain

MAX_BYTES = 2_000_000
ANSWER_WITHIN_SECONDS = 30.0


class Answer(BaseModel):
    """What became of each alert, in the order of the request."""

    alerts: list[Handled]


def create_app(intake: Intake, token: SecretStr) -> FastAPI:
    """The intake's application. `/alerts` must show the bearer token; `/health`, `/live` and `/metrics` tell nothing
    that has to be kept secret."""

    @asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(intake.start)
        yield
        await run_in_threadpool(intake.stop)

    app = FastAPI(
        title="Alert intake of prefect-runbooks", docs_url=None, redoc_url=None, openapi_url=None, lifespan=working
    )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        intake.meters.refused.labels(error.status_code).inc()
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    def authenticate(authorization: Annotated[str, Header()] = "") -> None:
        scheme, _, shown = authorization.partition(" ")
        right = hmac.compare_digest(shown.encode(), token.get_secret_value().encode())
        if scheme.lower() != "bearer" or not right:
            raise HTTPException(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    @app.get("/health")
    def health() -> JSONResponse:
        """How everything is that the intake needs or watches; 503 when any of it is not as it should be."""
        return _health({name: why for name, why in intake.health.parts().items() if why})

    @app.get("/live")
    def live() -> JSONResponse:
        """Whether this process can do its duty, for those who would restart it if not."""
        return _health({name: why for name, why in intake.health.parts().items() if why and name in VITAL})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(intake.meters.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/alerts", dependencies=[Depends(authenticate)])
    async def alerts(request: Request) -> Answer:
        arrived = time.monotonic()
        notification = _parse(await _body(request))
        handled = await _taken_in(intake, notification)
        intake.meters.seconds.observe(time.monotonic() - arrived)
        return Answer(alerts=handled)

    return app


def _health(failing: dict[str, str]) -> JSONResponse:
    return JSONResponse({"status": "failing" if failing else "ok", "failing": failing}, 503 if failing else 200)


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


async def _taken_in(intake: Intake, notification: Notification) -> list[Handled]:
    # 503 and never 429: Alertmanager keeps and repeats what was answered with 5xx, and drops it on any 4xx.
    try:
        taking = asyncio.wrap_future(intake.desk.submit(notification.alerts))
        return await asyncio.wait_for(taking, ANSWER_WITHIN_SECONDS)
    except Full as full:
        raise HTTPException(503, f"try again: {full}", {"Retry-After": "1"}) from full
    except TimeoutError as error:
        raise HTTPException(503, "try again: the ledger takes its time", {"Retry-After": "5"}) from error
    except Exception as error:  # the sender keeps the alerts and tries again
        raise HTTPException(503, f"try again: {explain(error)}", {"Retry-After": "5"}) from error
