"""The three notifiers, each with the ways of its receiver, and a notice to send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import SecretStr

from tasks.model.escalation import Level, Notice, NoticeKind, incident_key
from tasks.model.outcome import Severity
from tasks.systems.notify import Notifier, PagerDuty, Slack, Webhook
from tests.contract.receiver import Receiver

KEY = "R0Zq7secretroutingkey00000000000"
HOOK = "T0Zq7secret/B0Zq7secret/Zq7secretsecret"
TOKEN = "Zq7secret-bearer"  # noqa: S105 - of this test's own receiver
SECRET = re.compile("zq7", re.I)  # what all of them have in common, however they are written

SCHEMAS = {
    name: Draft202012Validator(json.loads((Path(__file__).parents[2] / "schemas" / f"{name}.json").read_text()))
    for name in ("pagerduty-events-v2", "slack-incoming-webhook", "notice")
}

TEAM_LEAD = Level(2, "Platform Team Lead", "Complex debugging", "Deploy code changes", "Affects multiple services")
NOTICE = Notice(
    kind=NoticeKind.GATE_FAILED,
    title="High task queue depth at production",
    summary="912 tasks wait after all options.\nThe queue grows by 3.1 tasks/s.",
    severity=Severity.WARNING,
    site="production",
    dedup_key=incident_key("4f0c"),
    at=datetime(2026, 3, 14, 3, 30, tzinfo=UTC),
    incident="4f0c",
    runbook="high_task_queue_depth",
    link="https://prefect.example/runs/flow-run/77",
    facts=(("Tried", "scale workers out"), ("Queue", "912 -> 940 tasks")),
    level=TEAM_LEAD,
)


def valid(schema: str, content: object) -> None:
    """Raises with the place and the reason where the content breaks the schema."""
    SCHEMAS[schema].validate(content)


@dataclass(frozen=True)
class Channel:
    """One notifier with its receiver's ways: where it posts, its schema, and how its receiver says yes."""

    make: Callable[[str, float], Notifier]
    target: str
    schema: str
    status: int
    yes: str

    def at(self, receiver: Receiver, timeout: float = 5) -> Notifier:
        receiver.answers(self.status, self.yes)
        return self.make(receiver.url, timeout)


CHANNELS = {
    "pagerduty": Channel(
        lambda url, timeout: PagerDuty(SecretStr(KEY), url, timeout=timeout),
        "/v2/enqueue",
        "pagerduty-events-v2",
        202,
        json.dumps({"status": "success", "message": "Event processed", "dedup_key": NOTICE.dedup_key}),
    ),
    "slack": Channel(
        lambda url, timeout: Slack(SecretStr(f"{url}/services/{HOOK}"), timeout=timeout),
        f"/services/{HOOK}",
        "slack-incoming-webhook",
        200,
        "ok",
    ),
    "webhook": Channel(
        lambda url, timeout: Webhook(SecretStr(f"{url}/in?key={TOKEN}"), SecretStr(TOKEN), timeout=timeout),
        f"/in?key={TOKEN}",
        "notice",
        204,
        "",
    ),
}
