"""A small HTTP/1.1 server for the lab's programs.

A pod has to start in a fraction of a second on a busy machine, and importing a web framework alone costs more processor
time than everything else that such a program does until it is ready. What the programs need fits on this page: exact
and parametrised paths, query strings, bodies with a length, connections that stay open for the next scrape.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY_BYTES = 1_000_000
IDLE_SECONDS = 75.0


@dataclass(frozen=True)
class Request:
    """One request; `parameters` holds what the braces of the route's path matched, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, object]:
        """The body as a JSON object.

        Raises:
            BadRequest: it is none.
        """
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise BadRequest(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadRequest("not a JSON object")
        return value


@dataclass(frozen=True)
class Response:
    """What a handler answers."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def json(cls, value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
        """Answer with a JSON document."""
        return cls(json.dumps(value).encode(), status, "application/json")


class BadRequest(Exception):
    """The request cannot be understood; its text is the answer (status 400)."""


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A method and a path such as `/admin/tasks/{id}`, and who answers it."""

    method: str
    path: str
    handler: Handler

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the path's braces, or None when the path is another one."""
        wanted, given = self.path.split("/"), path.split("/")
        if len(wanted) != len(given):
            return None
        values: dict[str, str] = {}
        for pattern, part in zip(wanted, given, strict=True):
            if pattern.startswith("{"):
                values[pattern[1:-1]] = unquote(part)
            elif pattern != part:
                return None
        return values


async def serve(routes: list[Route], host: str, port: int) -> asyncio.Server:
    """Listen on host and port until the returned server is closed.

    Raises:
        OSError: the address is taken or not on this machine.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await asyncio.wait_for(_read(reader), IDLE_SECONDS)) is not None:
                writer.write(_encode(await _answer(routes, request)))
                await writer.drain()
        except BadRequest as error:
            writer.write(_encode(Response(str(error).encode(), HTTPStatus.BAD_REQUEST)))
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # The client went away or idled: there is nobody left to tell.
        finally:
            writer.close()

    return await asyncio.start_server(connected, host, port)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None  # Closed between two requests, as it should be.
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    try:
        method, target, _version = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        length = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise BadRequest("not an HTTP request") from error
    if "transfer-encoding" in headers:
        raise BadRequest("send a Content-Length")
    if not 0 <= length <= MAX_BODY_BYTES:
        raise BadRequest(f"a body has at most {MAX_BODY_BYTES} bytes")
    url = urlsplit(target)
    body = await reader.readexactly(length)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers=headers, body=body)


async def _answer(routes: list[Route], request: Request) -> Response:
    allowed = [(route, values) for route in routes if (values := route.match(request.path)) is not None]
    if not allowed:
        return Response.json({"error": f"no such path: {request.path}"}, HTTPStatus.NOT_FOUND)
    for route, values in allowed:
        if route.method == request.method:
            try:
                return await route.handler(replace(request, parameters=values))
            except BadRequest as error:
                return Response.json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    return Response.json({"error": f"{request.method} is not allowed here"}, HTTPStatus.METHOD_NOT_ALLOWED)


def _encode(response: Response) -> bytes:
    head = (
        f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n\r\n"
    )
    return head.encode() + response.body
