"""Slack, incoming webhooks: telling a channel.

Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
https://docs.slack.dev/reference/block-kit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from tasks.model.escalation import Notice
from tasks.systems.notify.delivery import Answer, NotAccepted, check_address, post
from tasks.systems.notify.text import NOTHING, clean, facts, fit, headline, link, one_line

# Documented, in characters.
_HEADER, _BUTTON = 150, 75
_FIELDS_PER_SECTION = 10
# Not documented: beyond some 13,000 characters of blocks a message is refused with `msg_blocks_too_long`
# (https://github.com/slackapi/bolt-js/issues/2509). What follows keeps to less than that.
_ALL_BLOCKS = 12_000  # bytes of JSON
_SUMMARY, _FACTS, _NAME, _VALUE, _FALLBACK, _CONTEXT = 2000, 50, 100, 500, 1000, 300

Block = dict[str, object]

_ERROR_CODE = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class Slack:
    """One incoming webhook, which posts to one channel. Its URL is a secret: whoever has it can post.

    Raises:
        ValueError: the webhook is no address. The text does not repeat it.
    """

    webhook: SecretStr
    name: str = "Slack"
    timeout: float = 10.0

    def __post_init__(self) -> None:
        check_address(self.webhook, "the Slack webhook")

    def send(self, notice: Notice) -> str:
        """Posts the notice and says so, e.g. `message "High task queue depth: failed gate"`.

        Raises:
            NotAccepted: Slack answered and did not post it.
            httpx.TransportError: no answer; the message may have been posted, and would be posted a second time.
        """
        answer = post(self.webhook, message(notice), self.timeout)
        if answer.status != 200 or answer.body.strip() != "ok":
            raise NotAccepted(self.name, _why(answer), answer)
        return f'message "{fit(headline(notice), _HEADER)}"'


def _why(answer: Answer) -> str:
    """Slack's error code; other words may repeat the webhook."""
    said = answer.body.strip()
    return said if _ERROR_CODE.fullmatch(said) else ""


def message(notice: Notice) -> dict[str, object]:
    """The message: a text for notifications, and the blocks that are shown."""
    summary = clean(notice.summary).strip()
    return {
        "text": fit(f"{headline(notice)}. {summary}", _FALLBACK, _escape),
        "blocks": _blocks(notice, summary),
        "link_names": False,  # an @channel in a text stays a text
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _blocks(notice: Notice, summary: str) -> list[Block]:
    top: list[Block] = [{"type": "header", "text": _plain(headline(notice), _HEADER)}]
    if summary:
        top.append({"type": "section", "text": _plain(summary, _SUMMARY)})
    bottom: list[Block] = []
    if address := link(notice):
        bottom.append({"type": "actions", "elements": [_button("Run and report", address)]})
    about = f"{notice.at:%Y-%m-%d %H:%M:%S %Z}" + (f", incident {one_line(notice.incident)}" if notice.incident else "")
    bottom.append({"type": "context", "elements": [_plain(about, _CONTEXT)]})
    fields = list(_fields(notice))
    beyond = len(notice.facts[_FACTS:])
    for shown in range(len(fields), -1, -1):
        blocks = [*top, *_sections(fields[:shown]), *_left_out(len(fields) - shown + beyond), *bottom]
        if len(json.dumps(blocks, ensure_ascii=False).encode()) <= _ALL_BLOCKS:
            break
    return blocks


def _fields(notice: Notice) -> Iterator[Block]:
    """Where, how grave, and who is called; then the facts."""
    told = [("Site", notice.site), ("Runbook", notice.runbook), ("Severity", notice.severity.value)]
    if notice.level:
        told.append(("Called", str(notice.level)))
    for name, value in facts([*told, *notice.facts[:_FACTS]]):
        bold = f"*{fit(name, _NAME, _escape)}*"
        # verbatim: channel names and mentions in the text stay text
        yield {"type": "mrkdwn", "text": f"{bold}\n{fit(value, _VALUE, _escape)}", "verbatim": True}


def _sections(fields: list[Block]) -> Iterator[Block]:
    for first in range(0, len(fields), _FIELDS_PER_SECTION):
        yield {"type": "section", "fields": fields[first : first + _FIELDS_PER_SECTION]}


def _left_out(count: int) -> list[Block]:
    return [{"type": "context", "elements": [_plain(f"{count} more are not shown", _CONTEXT)]}] if count else []


def _plain(text: str, most: int) -> Block:
    """Text without any formatting; :words: between colons stay words, too."""
    return {"type": "plain_text", "text": fit(text or NOTHING, most, _escape), "emoji": False}


def _button(text: str, url: str) -> Block:
    return {"type": "button", "text": _plain(text, _BUTTON), "url": url}


def _escape(text: str) -> str:
    """Slack's three control characters: `<!channel>` in a text calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
