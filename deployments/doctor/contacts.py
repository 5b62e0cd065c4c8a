"""The people: whether somebody is called, and the channels can be reached. Nothing is sent unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.contacts import Channel
from tasks.model.escalation import Ladder, Notice, NoticeKind
from tasks.model.evidence import Unknown
from tasks.model.outcome import Severity
from tasks.systems.errors import explain
from tasks.systems.notify import PagerDuty
from tasks.systems.notify.delivery import reach

NOBODY = Kind(
    "nobody-to-call",
    Health.BROKEN,
    "when a response time runs out or a gate fails, no person learns of it",
    "contacts of the site: {{kind: pagerduty, level: 1, address: ROUTING_KEY}}, or slack or webhook with level 1",
)
LEVEL = Kind(
    "level-without-contact",
    Health.DOUBTFUL,
    "when that level's time comes, nobody more is called",
    "contacts of the site: {{kind: ..., level: {level}, address: ...}}",
)
MALFORMED = Kind(
    "address-malformed",
    Health.BROKEN,
    "nothing reaches this channel",
    "correct its address in the contacts of the site: a PagerDuty routing key has 32 letters and digits, a Slack "
    "webhook is https://hooks.slack.com/services/T.../B.../...",
)
UNREACHABLE = Kind(
    "notifier-unreachable",
    Health.BROKEN,
    "nothing reaches this channel from here",
    "let this host reach {host}: see its name, a firewall, or HTTPS_PROXY",
)
NOT_TAKEN = Kind(
    "test-notice-not-taken",
    Health.BROKEN,
    "nothing reaches this channel",
    "correct its address in the contacts of the site, then: runbooks doctor --site {site} --notify",
)
KINDS = (NOBODY, LEVEL, MALFORMED, UNREACHABLE, NOT_TAKEN)

_SLACK = "https://hooks.slack.com/"


def judge(site: str, channels: Sequence[Channel], ladders: Iterable[Ladder]) -> Iterable[Finding]:
    """Whether each level of the documents' ladders that is called by itself has somebody to call.

    A channel of level 0 is told everything, and may be read by nobody at night: it does not count for a level.
    """
    levels, names = {channel.level for channel in channels}, ", ".join(channel.name for channel in channels)
    if not levels & {0, 1}:
        yield NOBODY.found("contacts", f"nobody is told of what concerns level 1; there are: {names or 'none'}", site)
    elif 1 in levels:
        yield fine("contacts", names, site)
    called = [level for ladder in ladders for level in ladder.levels if level.number == 1 or level.after is not None]
    for number, level in sorted({level.number: level for level in called}.items()):
        if number not in levels and not (number == 1 and 0 not in levels):  # that nobody is told was said above
            after = f"after {(level.after or timedelta(0)) / timedelta(minutes=1):.0f} min" if level.after else "first"
            seen = f"there are none for it, and it is called {after}; there are: {names or 'none'}"
            yield LEVEL.found(f"contacts of {level}", seen, site, level=number)


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of asking a channel's host for its front page: `malformed` and `trouble` say why nothing did."""

    host: str = ""
    status: int = 0
    malformed: str = ""
    trouble: str = ""


def read(channel: Channel) -> Reached:
    """Whether the channel's host answers; no path, key or message is sent."""
    address = channel.address.get_secret_value()
    try:
        notifier = channel.notifier()
    except ValueError as error:
        return Reached(malformed=str(error))
    if channel.kind == "slack" and address.startswith(_SLACK) and not _is_slack_webhook(address):
        return Reached(malformed="the Slack webhook does not lead to /services/T.../B.../...")
    url = notifier.url if isinstance(notifier, PagerDuty) else address
    host = httpx.URL(url).host
    try:
        return Reached(host, reach(url))
    except Exception as error:  # whatever it is, nothing would be delivered
        return Reached(host, trouble=Unknown.because(explain(error)).reason)


def _is_slack_webhook(address: str) -> bool:
    parts = address.removeprefix(_SLACK).split("/")
    return parts[0] in ("services", "workflows", "triggers") and len(parts) >= 4 and all(parts)


def judge_channel(site: str, channel: Channel, reached: Reached) -> Iterable[Finding]:
    """Whether a notice would get as far as the receiver."""
    what = f"channel {channel.name}"
    if reached.malformed:
        yield MALFORMED.found(what, reached.malformed, site)
    elif reached.trouble:
        yield UNREACHABLE.found(what, reached.trouble, site, host=reached.host)
    else:
        yield fine(what, f"{reached.host} answers ({reached.status}); nothing was sent", site)


def send_test(site: str, channel: Channel) -> str | Exception:
    """Sends a notice that says that it is a test, and takes it back at once where that calls somebody. Returns what was
    sent, or why it was not taken."""
    try:
        return _send_test(site, channel)
    except Exception as error:
        return error


def _send_test(site: str, channel: Channel) -> str:
    notifier, now = channel.notifier(), datetime.now(UTC)
    key = f"runbooks/test/{site}/{now:%Y%m%dT%H%M%S.%f}"
    summary = "this is a test of `runbooks doctor --notify`: nothing is wrong, and nothing has to be done"
    notice = Notice(NoticeKind.TEST, f"Test notice for {site}", summary, Severity.INFO, site, key, now)
    said = notifier.send(notice)
    if isinstance(notifier, PagerDuty):
        said = f"{said}, {notifier.resolve(key)}"
    return said


def judge_test(site: str, channel: Channel, said: str | Exception) -> Iterable[Finding]:
    """Whether the test notice was taken."""
    what = f"test notice to {channel.name}"
    if isinstance(said, Exception):
        yield NOT_TAKEN.found(what, Unknown.because(explain(said)).reason, site)
    else:
        yield fine(what, f"sent and taken: {said}", site)
