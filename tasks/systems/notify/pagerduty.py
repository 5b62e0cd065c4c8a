"""PagerDuty, Events API v2: calling whoever is on call.

Source: https://developer.pagerduty.com/docs/events-api-v2/ (overview, trigger-events).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from tasks.model.escalation import Notice, NoticeKind
from tasks.systems.notify.delivery import Answer, NotAccepted, check_address, post
from tasks.systems.notify.text import NOTHING, facts, fit, headline, link, one_line

_SUMMARY, _DEDUP_KEY = 1024, 255  # documented, in characters
_FIELD, _NAME, _VALUE, _FACTS = 255, 100, 1000, 50  # ours: they keep an event well below the 512 KB that are allowed


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """One integration of one PagerDuty service.

    PagerDuty folds events by dedup key: a further `trigger` on an open alert is logged there and calls nobody anew.
    Its own escalation policy goes on to the next person while nobody acknowledges. A level of ours with people of its
    own therefore needs an integration of its own.

    Raises:
        ValueError: the routing key is not 32 letters and digits, or the URL is no address. The text does not repeat it.
    """

    routing_key: SecretStr
    url: str = "https://events.pagerduty.com"
    name: str = "PagerDuty"
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]{32}", self.routing_key.get_secret_value()):
            raise ValueError("the routing key of an Events API v2 integration has 32 letters and digits")
        check_address(SecretStr(self.url), "PagerDuty's URL")

    def send(self, notice: Notice) -> str:
        """Resolves what is resolved, acknowledges what a person took, and triggers in all other cases.

        Returns the action and the dedup key, e.g. `trigger runbooks/incident/4f0c`.

        Raises:
            NotAccepted: PagerDuty answered and did not take the event.
            httpx.TransportError: no answer; the event may have arrived, and sending it again does no harm.
        """
        match notice.kind:
            case NoticeKind.RESOLVED:
                return self.resolve(notice.dedup_key)
            case NoticeKind.TAKEN:
                return self.acknowledge(notice.dedup_key)
            case _:
                return self.trigger(notice)

    def trigger(self, notice: Notice) -> str:
        """Opens an alert, or adds to the open one with the same dedup key. Raises as `send` does."""
        return self._enqueue("trigger", notice.dedup_key, event(notice))

    def acknowledge(self, dedup_key: str) -> str:
        """Says that somebody is at work, so that nobody else is called. Raises as `send` does."""
        return self._enqueue("acknowledge", dedup_key, {})

    def resolve(self, dedup_key: str) -> str:
        """Closes the alert, if one is open. Raises as `send` does."""
        return self._enqueue("resolve", dedup_key, {})

    def _enqueue(self, action: str, dedup_key: str, event: Mapping[str, object]) -> str:
        key = _dedup_key(dedup_key)
        content = {"routing_key": self.routing_key, "event_action": action, "dedup_key": key, **event}
        answer = post(SecretStr(f"{self.url.rstrip('/')}/v2/enqueue"), content, self.timeout)
        if not _taken(answer):
            raise NotAccepted(self.name, self._why(answer), answer)
        return f"{action} {key}"

    def _why(self, answer: Answer) -> str:
        """PagerDuty's own words about an error, without the key that they may repeat."""
        said = _said(answer)
        errors = said.get("errors")
        details = ", ".join(str(error) for error in errors) if isinstance(errors, list) else ""
        words = [str(word) for word in (said.get("message") or said.get("status"), details) if word]
        return fit(one_line(": ".join(words)).replace(self.routing_key.get_secret_value(), "***"), 300)


def event(notice: Notice) -> dict[str, object]:
    """What a trigger event says, apart from its keys."""
    address = link(notice)
    payload = {
        "summary": fit(f"{headline(notice)}. {one_line(notice.summary)}", _SUMMARY),
        "timestamp": notice.at.isoformat(timespec="milliseconds"),
        "severity": notice.severity.value,  # PagerDuty's words are the same; it has "error" besides
        "source": fit(one_line(notice.site), _FIELD) or NOTHING,
        "group": fit(one_line(notice.site), _FIELD),
        "component": fit(one_line(notice.runbook), _FIELD),
        "class": notice.kind.value,
        "custom_details": _details(notice),
    }
    links = {"client_url": address, "links": [{"href": address, "text": "Run and report"}]} if address else {}
    return {"payload": {key: value for key, value in payload.items() if value}, "client": "prefect-runbooks", **links}


def _details(notice: Notice) -> dict[str, str]:
    """Names and values; a name that comes again gets a number, because nothing may be lost."""
    told = [("summary", notice.summary)]
    if notice.incident:
        told.append(("incident", notice.incident))
    if notice.level:
        level = notice.level
        told += [("called", str(level)), ("authority", level.authority), ("escalate if", level.escalate_if)]
    told += notice.facts
    if more := len(told[_FACTS:]):
        told = [*told[:_FACTS], ("not shown", f"{more} more")]
    details: dict[str, str] = {}
    for name, value in facts(told):
        key, count = fit(name, _NAME), 1
        while key in details:
            count += 1
            key = f"{fit(name, _NAME)} ({count})"
        details[key] = fit(value, _VALUE)
    return details


def _dedup_key(key: str) -> str:
    """The key as PagerDuty takes it: always the same for the same key, and another for another."""
    if len(key) <= _DEDUP_KEY and key.isascii() and key.isprintable():
        return key
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def _taken(answer: Answer) -> bool:
    return answer.status == 202 and _said(answer).get("status") == "success"


def _said(answer: Answer) -> Mapping[str, object]:
    """The answer's JSON object; empty where it is none, e.g. the page of a proxy."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
