"""Anything that takes JSON: a chat that is not Slack, a ticket system, a pager of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

from tasks.model.escalation import Notice
from tasks.systems.notify.delivery import NotAccepted, check_address, post
from tasks.systems.notify.text import clean, facts, fit, link, one_line

VERSION = 1
"""Goes up when a field changes its meaning or goes away; new fields may come at any time."""

_LINE, _SUMMARY, _NAME, _VALUE, _FACTS = 500, 5000, 100, 2000, 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes notices as JSON; any 2xx counts as taken. The address may hold a secret; the token, if
    there is one, is sent as a bearer token.

    Raises:
        ValueError: the address is none, or the token cannot stand in a header. The text repeats neither.
    """

    url: SecretStr
    token: SecretStr | None = None
    name: str = "webhook"
    timeout: float = 10.0

    def __post_init__(self) -> None:
        check_address(self.url, "the webhook's URL")
        if self.token and not re.fullmatch(r"[!-~]+", self.token.get_secret_value()):
            raise ValueError("the webhook's token cannot stand in a header")

    def send(self, notice: Notice) -> str:
        """Posts the notice and says so, e.g. `notice runbooks/incident/4f0c`.

        Raises:
            NotAccepted: the answer was no 2xx.
            httpx.TransportError: no answer; the notice may have arrived.
        """
        answer = post(self.url, body(notice), self.timeout, self.token)
        if not 200 <= answer.status < 300:
            raise NotAccepted(self.name, "", answer)  # whatever it said may repeat the address
        return f"notice {one_line(notice.dedup_key)}"


def body(notice: Notice) -> dict[str, object]:
    """The notice as JSON. Every field is always there; `level` is null where nobody is called."""
    level = notice.level
    return {
        "version": VERSION,
        "kind": notice.kind.value,
        "dedup_key": clean(notice.dedup_key),
        "incident": fit(one_line(notice.incident), _LINE),
        "title": fit(one_line(notice.title), _LINE),
        "summary": fit(clean(notice.summary), _SUMMARY),
        "severity": notice.severity.value,
        "site": fit(one_line(notice.site), _LINE),
        "runbook": fit(one_line(notice.runbook), _LINE),
        "link": link(notice),
        "at": notice.at.isoformat(timespec="milliseconds"),
        "level": {"number": level.number, "name": fit(one_line(level.name), _LINE)} if level else None,
        "facts": [
            {"name": fit(name, _NAME), "value": fit(value, _VALUE)} for name, value in facts(notice.facts[:_FACTS])
        ],
        "facts_left_out": len(notice.facts[_FACTS:]),
    }
