"""An answer that is no yes is told in the receiver's words, and whether trying again helps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tasks.systems.errors import is_transient, turned_away
from tasks.systems.notify import NotAccepted
from tests.contract.notify.channels import CHANNELS, NOTICE, Channel
from tests.contract.receiver import Receiver, receiving

pytestmark = pytest.mark.live

INVALID_EVENT = json.dumps(
    {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["Length of 'routing_key' is incorrect (should be 32 characters)", "'severity' is missing"],
    }
)

# channel, status, body -> what is said, whether trying again helps, whether the receiver said that it did not do it
ANSWERS = [
    (
        "pagerduty", 400, INVALID_EVENT,
        "PagerDuty answered 400: Event object is invalid: Length of 'routing_key' is incorrect (should be 32 "
        "characters), 'severity' is missing",
        False, True,
    ),
    ("pagerduty", 429, "", "PagerDuty answered 429", True, True),
    ("pagerduty", 500, "<html>oops", "PagerDuty answered 500", True, False),
    ("pagerduty", 503, '{"status": "Unrecognized object", "message": "no"}', "PagerDuty answered 503: no", True, False),
    ("pagerduty", 202, '{"status": "invalid event"}', "PagerDuty answered 202: invalid event", False, False),
    ("pagerduty", 202, "[]", "PagerDuty answered 202", False, False),
    ("pagerduty", 200, '{"status": "success"}', "PagerDuty answered 200: success", False, False),
    ("pagerduty", 301, "", "PagerDuty answered 301", False, False),
    ("pagerduty", 400, '{"errors": 7, "message": {"a": [1]}}', "PagerDuty answered 400: {'a': [1]}", False, True),
    ("pagerduty", 400, "[" * 100_000, "PagerDuty answered 400", False, True),
    ("slack", 400, "invalid_payload", "Slack answered 400: invalid_payload", False, True),
    ("slack", 200, "invalid_payload", "Slack answered 200: invalid_payload", False, False),
    ("slack", 200, "", "Slack answered 200", False, False),
    ("slack", 200, "<html>Please log in to the wireless network</html>", "Slack answered 200", False, False),
    ("slack", 403, "invalid_token", "Slack answered 403: invalid_token", False, True),
    ("slack", 404, "no_service\n", "Slack answered 404: no_service", False, True),
    ("slack", 410, "channel_is_archived", "Slack answered 410: channel_is_archived", False, True),
    ("slack", 429, "rate_limited", "Slack answered 429: rate_limited", True, True),
    ("slack", 500, "rollup_error", "Slack answered 500: rollup_error", True, False),
    ("slack", 302, "", "Slack answered 302", False, False),
    ("webhook", 401, "who are you", "webhook answered 401", False, True),
    ("webhook", 502, "", "webhook answered 502", True, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "body", "said", "again", "declined"), ANSWERS, ids=[f"{row[0]} {row[1]}" for row in ANSWERS]
)
def test_an_answer_that_is_no_yes(
    receiver: Receiver, name: str, status: int, body: str, said: str, again: bool, declined: bool
) -> None:
    notifier = CHANNELS[name].at(receiver)
    receiver.answers(status, body)
    with pytest.raises(NotAccepted) as raised:
        notifier.send(NOTICE)
    assert str(raised.value) == said
    assert is_transient(raised.value) is again
    assert turned_away(raised.value) is declined
    assert raised.value.retry_after is None
    assert len(receiver.arrived) == 1, "whether and when to try again is not the notifier's to say"


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("30", timedelta(seconds=30)),
        (" 0 ", timedelta(0)),
        ("999999999999999999999", timedelta(days=1)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0)),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_how_long_to_wait(channel: Channel, receiver: Receiver, header: str, pause: timedelta | None) -> None:
    notifier = channel.at(receiver)
    receiver.answers(429, headers={"Retry-After": header})
    with pytest.raises(NotAccepted) as raised:
        notifier.send(NOTICE)
    assert raised.value.retry_after == pause


def test_how_long_to_wait_until_a_date(receiver: Receiver) -> None:
    notifier = CHANNELS["slack"].at(receiver)
    receiver.answers(429, headers={"Retry-After": format_datetime(datetime.now(UTC) + timedelta(minutes=2), True)})
    with pytest.raises(NotAccepted) as raised:
        notifier.send(NOTICE)
    assert raised.value.retry_after is not None
    assert timedelta(minutes=1) < raised.value.retry_after <= timedelta(minutes=2)


def test_no_redirection_is_followed(channel: Channel, receiver: Receiver) -> None:
    notifier = channel.at(receiver)
    with receiving() as elsewhere:
        receiver.answers(307, headers={"Location": elsewhere.url})
        with pytest.raises(NotAccepted):
            notifier.send(NOTICE)
        assert elsewhere.arrived == []
