"""`python -m lab.kubernetes.apiserver`: serves the API on https://127.0.0.1:PORT until SIGTERM.

Ready when `/readyz` answers 200. Its certificate is STATE/apiserver.crt, to be named in a kubeconfig as
`certificate-authority`; kubectl sends tokens over HTTPS only.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import ssl
from pathlib import Path

from aiohttp import web

from lab.kubernetes.apiserver.app import ApiServer
from lab.kubernetes.apiserver.audit import AuditLog
from lab.kubernetes.apiserver.auth import Authenticator
from lab.kubernetes.apiserver.journal import Journal
from lab.kubernetes.apiserver.store import Store
from lab.kubernetes.certificates import server_context
from lab.kubernetes.service import announce_ready, terminated


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.kubernetes.apiserver", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder of the journal; kept over restarts")
    parser.add_argument("--audit-log", type=Path, required=True, help="file that audit records are appended to")
    parser.add_argument("--tokens", type=Path, required=True, help='token file: token,user,uid,"group1,group2"')
    parser.add_argument("--ready-file", type=Path, help="file to touch when the server is ready")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        authenticator = Authenticator.load(options.tokens)
    except (OSError, ValueError) as error:
        parser.error(f"--tokens: {error}")
    options.state.mkdir(parents=True, exist_ok=True)
    store = Store(Journal(options.state / "journal.jsonl"))
    server = ApiServer(store, authenticator, AuditLog(options.audit_log))
    try:
        tls = server_context(options.state, "apiserver")
        asyncio.run(_serve(server.application(), options.port, tls, options.ready_file))
    except OSError as error:
        parser.exit(1, f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}\n")


async def _serve(app: web.Application, port: int, tls: ssl.SSLContext, ready_file: Path | None) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        announce_ready(ready_file)
        await terminated()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
