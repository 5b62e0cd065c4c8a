"""What the doctor does with channels: it looks whether they are there, and sends a test only when told to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.doctor import contacts
from tasks.contacts import Channel
from tests.contract.notify.channels import HOOK, KEY, SECRET, TOKEN, valid
from tests.contract.receiver import Receiver
from tests.unit.test_doctor_installation import kinds

pytestmark = pytest.mark.live

KINDS = ["pagerduty", "slack", "webhook"]
SCHEMAS = {"pagerduty": "pagerduty-events-v2", "slack": "slack-incoming-webhook", "webhook": "notice"}
YES = {"pagerduty": (202, json.dumps({"status": "success"})), "slack": (200, "ok"), "webhook": (204, "")}


def channel(kind: Any, url: str) -> Channel:
    """A channel whose receiver is there."""
    if kind == "pagerduty":
        return Channel(kind=kind, level=1, address=SecretStr(KEY), server=url)
    path = f"services/{HOOK}" if kind == "slack" else f"in?key={TOKEN}"
    return Channel(kind=kind, level=1, address=SecretStr(f"{url}/{path}"))


@pytest.mark.parametrize("kind", KINDS)
def test_looking_sends_no_message_and_no_secret(receiver: Receiver, kind: str) -> None:
    receiver.visited.clear()
    there = channel(kind, receiver.url)
    found = list(contacts.judge_channel("here", there, contacts.read(there)))
    assert kinds(found) == set()
    assert receiver.arrived == []
    (visit,) = receiver.visited
    assert visit.path == "/"
    assert not SECRET.search(f"{visit.headers} {found}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_receiver_that_is_not_there(kind: str) -> None:
    gone = channel(kind, "http://127.0.0.1:1")
    found = list(contacts.judge_channel("here", gone, contacts.read(gone)))
    assert kinds(found) == {"notifier-unreachable"}
    assert not SECRET.search(str(found))


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_notice_says_that_it_is_one_and_leaves_no_alert_open(receiver: Receiver, kind: str) -> None:
    receiver.answers(*YES[kind])
    there = channel(kind, receiver.url)
    found = contacts.judge_test("here", there, contacts.send_test("here", there))
    assert kinds(found) == set()
    first, *later = [one.json() for one in receiver.arrived]
    valid(SCHEMAS[kind], first)
    assert "nothing is wrong" in str(first)
    if kind == "pagerduty":
        assert [first["event_action"], *(one["event_action"] for one in later)] == ["trigger", "resolve"]
        assert first["dedup_key"] == later[0]["dedup_key"]
    else:
        assert later == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_notice_that_is_not_taken(receiver: Receiver, kind: str) -> None:
    receiver.answers(403, "no")
    there = channel(kind, receiver.url)
    found = list(contacts.judge_test("here", there, contacts.send_test("here", there)))
    assert kinds(found) == {"test-notice-not-taken"}
    assert not SECRET.search(str(found))
