"""A receiver of notices: it keeps what arrives and answers as it is told."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Arrived:
    """One request, as it came over the wire. `path` is the whole target, which is a URL where we are a proxy."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read as strictly as a receiver may: UTF-8 or nothing."""
        return json.loads(self.body.decode("utf-8"))


@dataclass(frozen=True)
class Answer:
    """How a request is answered. `echo` puts the request's target, headers and body before the answer's own body;
    `hang` never answers, `drop` closes the connection instead, `endless` is repeated after the body,
    20 times a second and without end."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    echo: bool = False
    hang: bool = False
    drop: bool = False
    endless: bytes = b""


class Receiver:
    """What arrived, oldest first, and the answer that the next requests get. Who only looks has `visited`, and is told
    that there is nothing to see."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.visited: list[Arrived] = []
        self.answer = Answer()
        self.over = threading.Event()
        self.url = ""

    @property
    def last(self) -> Arrived:
        return self.arrived[-1]

    def answers(self, status: int = 200, body: str = "", **more: Any) -> None:
        """From now on, this."""
        self.answer = Answer(status, body, **more)


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port, until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            receiver.visited.append(Arrived(self.path, dict(self.headers), b""))
            self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.arrived.append(Arrived(self.path, dict(self.headers), body))
            answer = receiver.answer
            if answer.hang:
                receiver.over.wait()
            if answer.hang or answer.drop:
                return
            echoed = f"{self.path}\n{self.headers}".encode() + body if answer.echo else b""
            content = echoed + answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + 1_000_000_000 * len(answer.endless)))
            self.end_headers()
            self.wfile.write(content)
            while answer.endless and not receiver.over.wait(0.05):
                self.wfile.write(answer.endless)
                self.wfile.flush()

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError, ssl.SSLError):  # the sender gave up: some tests are about that
                super().handle()

        def log_message(self, format: str, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
