"""A real Redis: its answer is timed, and every way of not answering is told apart."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis.exceptions
from redis import Redis

from tasks.systems.errors import explain, is_transient
from tasks.systems.redis import NoRedisUrl, ping
from tests.contract.servers import free_port, need, running

pytestmark = pytest.mark.live

PASSWORD = "correct-horse"  # noqa: S105 - of this test's own server


@dataclass(frozen=True)
class Server:
    """How a Redis of these tests is started."""

    program: str
    folder: Path
    port: int

    def command(self, *options: str) -> list[str]:
        """The server, with further options."""
        own = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "no"]
        return [self.program, *own, *options]

    def listens(self) -> bool:
        """Whether connections are accepted, whatever is answered."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, password: str = "", user: str = "") -> str:
        """Its URL for somebody."""
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis that wants a password."""
    found = Server(need("redis-server", "redis-server"), tmp_path_factory.mktemp("redis"), free_port())
    command = found.command("--save", "", "--requirepass", PASSWORD)
    with running(command, found.folder / "redis.log", found.listens):
        yield found


def test_an_answer_is_timed(server: Server) -> None:
    assert 0 < ping(server.url(PASSWORD)) < 1


@pytest.mark.parametrize("password", ["wrong-horse", ""])
def test_a_wrong_password_or_none_is_no_answer_and_stays_wrong(server: Server, password: str) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError) as error:
        ping(server.url(password))
    assert not is_transient(error.value)
    assert PASSWORD not in str(error.value)


def test_a_user_who_may_not_even_ping(server: Server) -> None:
    with Redis(port=server.port, password=PASSWORD) as admin:
        admin.acl_setuser("guest", enabled=True, passwords=["+guest"], commands=["-@all", "+hello", "+client"])
    with pytest.raises(redis.exceptions.NoPermissionError) as error:
        ping(server.url("guest", user="guest"))
    assert not is_transient(error.value)


def test_a_dead_port_may_come_back() -> None:
    with pytest.raises(redis.exceptions.ConnectionError) as error:
        ping(f"redis://127.0.0.1:{free_port()}/0")
    assert is_transient(error.value)


def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(redis.exceptions.TimeoutError) as error:
            ping(f"redis://127.0.0.1:{port}/0", timeout=0.3)
    assert is_transient(error.value)


@pytest.mark.parametrize("password", ["s3cretpass/abc", "s3cretpass#abc", "s3cretpass?abc"])
def test_a_url_that_cannot_be_read_shows_no_password(password: str) -> None:
    with pytest.raises(NoRedisUrl) as error:
        ping(f"redis://:{password}@127.0.0.1:6379/0")
    assert explain(error.value) == (
        "the Redis URL of the site cannot be read: /, #, ? and @ in its password have to be percent-encoded"
    )
    assert error.value.__cause__ is None


def test_a_server_that_is_loading_is_no_answer_yet(tmp_path: Path) -> None:
    found = Server(need("redis-server", "redis-server"), tmp_path, free_port())
    log = tmp_path / "redis.log"
    filling = found.command("--save", "", "--enable-debug-command", "yes")
    with running(filling, log, found.listens), Redis(port=found.port) as admin:
        admin.execute_command("DEBUG", "POPULATE", "2000")
        admin.save()
    # 10 ms for each of 2,000 keys: loading takes 20 s, and commands are answered in between.
    slow = found.command("--save", "", "--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
    with running(slow, log, found.listens):
        began = time.monotonic()
        with pytest.raises(redis.exceptions.BusyLoadingError) as error:
            ping(found.url())
        assert time.monotonic() - began < 5, "the client waited by itself until the server had loaded"
        assert is_transient(error.value)
