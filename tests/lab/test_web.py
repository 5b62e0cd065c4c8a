"""The small HTTP server of the lab's programs."""

from __future__ import annotations

import asyncio

import pytest

from lab.web import MAX_BODY_BYTES, Request, Response, Route, serve


async def echo(request: Request) -> Response:
    return Response.json({"query": dict(request.query), "id": request.parameters.get("id"), "body": len(request.body)})


ROUTES = [Route("GET", "/things/{id}", echo), Route("POST", "/things", echo), Route("GET", "/things", echo)]


def exchange(*requests: bytes) -> bytes:
    """Send requests over one connection, and return everything that comes back."""

    async def run() -> bytes:
        server = await serve(ROUTES, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for request in requests:
            writer.write(request)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        return answer

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("request_bytes", "status", "part"),
    [
        (b"GET /things/a%20b?x=1&y=%26 HTTP/1.1\r\nHost: x\r\n\r\n", b"200 OK", b'{"x": "1", "y": "&"}, "id": "a b"'),
        (b"POST /things HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"200 OK", b'"body": 3'),
        (b"GET /none HTTP/1.1\r\n\r\n", b"404 Not Found", b"no such path"),
        (b"HEAD /things HTTP/1.1\r\n\r\n", b"405 Method Not Allowed", b""),
        (b"nonsense\r\n\r\n", b"400 Bad Request", b""),
        (b"POST /things HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request", b""),
        (b"POST /things HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400 Bad Request", b"Content-Length"),
        (f"POST /things HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode(), b"400 Bad Request", b""),
    ],
)
def test_requests_are_answered(request_bytes: bytes, status: bytes, part: bytes) -> None:
    answer = exchange(request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert part in answer


def test_a_connection_serves_several_requests() -> None:
    request = b"GET /things HTTP/1.1\r\n\r\n"
    assert exchange(request, request, request).count(b"HTTP/1.1 200 OK") == 3
