"""A real PostgreSQL of the tests: quick, and with a clock that can be turned."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.contract.servers import free_port

# Nothing here has to outlive a loss of power.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}
_CLOCK = """
CREATE TABLE {name}.clock (shift interval NOT NULL);
INSERT INTO {name}.clock VALUES ('0');
CREATE FUNCTION {name}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + shift FROM {name}.clock';
GRANT SELECT ON {name}.clock TO {name};
ALTER ROLE {name} SET search_path = {name}, pg_catalog;
"""


@dataclass(frozen=True)
class Postgres:
    """A running server. Its users have a schema each, which is quicker than a database each."""

    port: int

    def url(self, user: str, database: str = "postgres") -> str:
        """The address as a user has it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, *values: object) -> None:
        """Carries a statement out by itself, as the superuser."""
        with psycopg.connect(self.url("runbooks"), autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def answers(self) -> bool:
        """Whether it takes statements already."""
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def create(self) -> str:
        """A new user with a schema that is empty."""
        name = f"user_{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE ROLE {name} LOGIN; CREATE SCHEMA AUTHORIZATION {name}")
        return name

    def create_with_clock(self) -> str:
        """A new user whose `clock_timestamp()` is one that `turn` turns; the server's own one stands behind it."""
        name = self.create()
        self.run(_CLOCK.format(name=name))
        return name

    def turn(self, user: str, by: timedelta) -> None:
        """Turns the clock of a user."""
        self.run(f"UPDATE {user}.clock SET shift = shift + %s", by)  # noqa: S608

    def set_right(self, user: str) -> None:
        """Sets the clock of a user right again."""
        self.run(f"UPDATE {user}.clock SET shift = '0'")  # noqa: S608

    def cut(self, user: str) -> None:
        """Cuts all connections of a user."""
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", user)


def _program(name: str) -> str | None:
    """The program on the path, or where Debian keeps it, of the newest version."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return shutil.which(name) or (str(kept[-1]) if kept else None)


@contextmanager
def start_postgres() -> Iterator[Postgres]:
    """A server with an empty data folder, until the block ends. Skips the test when PostgreSQL is not installed."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("CONTRACT NOT TESTED: postgresql is missing (apt install postgresql)")
    # Not in pytest's own folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="runbooks-postgres-"))
    try:
        as_user = _as_somebody(folder)
        data, log = folder / "data", folder / "log"
        made = [initdb, f"--pgdata={data}", "--username=runbooks", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run([*as_user, *made, "--locale=C"], check=True, capture_output=True, cwd=folder, timeout=60)
        server = Postgres(free_port())
        settings = _SETTINGS | {"port": str(server.port), "unix_socket_directories": str(folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*as_user, postgres, "-D", data, *options], stdout=output, stderr=output, cwd=folder
            )
        try:
            _wait_until_ready(server, process, log)
            server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as from PostgreSQL 15 on
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # ends it at once, whoever is connected
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_somebody(folder: Path) -> list[str]:
    """How a program is started as a user other than root, whom PostgreSQL refuses; the folder is then theirs."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _wait_until_ready(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not server.answers():
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, f"PostgreSQL is not ready within 30 s; see {log}"
        time.sleep(0.05)
