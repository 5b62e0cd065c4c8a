"""A receiver of alerts, as Alertmanager calls it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.model import Webhook

RULES = """
groups:
  - name: message-bus
    rules:
      - alert: HighTaskQueueDepth
        expr: max(orchestration_task_queue_pending) > 800
        labels: {severity: warning}
"""


class Alerts:
    """Takes whatever comes, and remembers it."""

    token = "let-me-in"  # noqa: S105 - not a secret

    def __init__(self) -> None:
        """Listen on a free port."""
        received: list[tuple[str, str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                authorization = self.headers.get("Authorization", "")
                for alert in body["alerts"]:
                    received.append((alert["labels"]["alertname"], alert["status"], authorization))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Be silent."""

        self._received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def webhook(self) -> Webhook:
        """Where to send alerts."""
        return Webhook(f"http://127.0.0.1:{self._server.server_port}/alerts", self.token)

    def forget(self) -> None:
        """Start anew."""
        self._received.clear()

    def statuses(self, alert: str) -> list[str]:
        """What was said of an alert."""
        return [status for name, status, _ in self._received if name == alert]

    def authorizations(self) -> set[str]:
        """With which words it came."""
        return {authorization for _, _, authorization in self._received}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
