"""What receivers get over the wire keeps their published forms and limits, whatever the texts are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.model.escalation import Level, Notice, NoticeKind
from tasks.model.outcome import Severity
from tasks.systems.notify import Webhook, pagerduty, slack, webhook
from tests.contract.notify.channels import CHANNELS, KEY, NOTICE, SECRET, TOKEN, Channel, valid
from tests.contract.receiver import Receiver

pytestmark = pytest.mark.live

quick = settings(deadline=None, derandomize=True, max_examples=20)


# ---- what arrives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize("severity", list(Severity))
def test_every_notice_arrives_in_its_receivers_form(
    channel: Channel, receiver: Receiver, kind: NoticeKind, severity: Severity
) -> None:
    channel.at(receiver).send(replace(NOTICE, kind=kind, severity=severity))
    assert receiver.last.path == channel.target
    assert receiver.last.headers["Content-Type"].startswith("application/json")
    valid(channel.schema, receiver.last.json())


def test_as_little_as_a_notice_can_say(channel: Channel, receiver: Receiver) -> None:
    channel.at(receiver).send(Notice(NoticeKind.CRASHED, "", "", Severity.INFO, "", "k", NOTICE.at))
    valid(channel.schema, receiver.last.json())


def test_pagerduty_gets_all_there_is_to_know(receiver: Receiver) -> None:
    assert CHANNELS["pagerduty"].at(receiver).send(NOTICE) == "trigger runbooks/incident/4f0c"
    assert receiver.last.json() == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "runbooks/incident/4f0c",
        "client": "prefect-runbooks",
        "client_url": "https://prefect.example/runs/flow-run/77",
        "links": [{"href": "https://prefect.example/runs/flow-run/77", "text": "Run and report"}],
        "payload": {
            "summary": "High task queue depth at production: failed gate. 912 tasks wait after all options. "
            "The queue grows by 3.1 tasks/s.",
            "timestamp": "2026-03-14T03:30:00.000+00:00",
            "severity": "warning",
            "source": "production",
            "group": "production",
            "component": "high_task_queue_depth",
            "class": "failed gate",
            "custom_details": {
                "summary": "912 tasks wait after all options.\nThe queue grows by 3.1 tasks/s.",
                "incident": "4f0c",
                "called": "level 2, Platform Team Lead",
                "authority": "Deploy code changes",
                "escalate if": "Affects multiple services",
                "Tried": "scale workers out",
                "Queue": "912 -> 940 tasks",
            },
        },
    }


@pytest.mark.parametrize(
    ("kind", "action"), [(NoticeKind.TAKEN, "acknowledge"), (NoticeKind.RESOLVED, "resolve")], ids=str
)
def test_one_key_opens_acknowledges_and_resolves(receiver: Receiver, kind: NoticeKind, action: str) -> None:
    pager = CHANNELS["pagerduty"].at(receiver)
    pager.send(replace(NOTICE, kind=NoticeKind.OPENED))
    assert pager.send(replace(NOTICE, kind=kind, summary="something else")) == f"{action} {NOTICE.dedup_key}"
    first, second = (arrived.json() for arrived in receiver.arrived)
    assert second == {"routing_key": KEY, "event_action": action, "dedup_key": first["dedup_key"]}


@pytest.mark.parametrize("key", ["x" * 256, "with\nbreak", "ü", "\ud800"])
def test_a_key_that_pagerduty_would_not_take_is_replaced_by_one_of_its_own(receiver: Receiver, key: str) -> None:
    pager = CHANNELS["pagerduty"].at(receiver)
    for kind in (NoticeKind.OPENED, NoticeKind.RESOLVED):
        pager.send(replace(NOTICE, dedup_key=key, kind=kind))
    pager.send(replace(NOTICE, dedup_key=f"{key}x"))
    for arrived in receiver.arrived:
        valid("pagerduty-events-v2", arrived.json())
    opened, resolved, other = (arrived.json()["dedup_key"] for arrived in receiver.arrived)
    assert opened == resolved != other


def test_a_fact_that_comes_twice_is_told_twice(receiver: Receiver) -> None:
    facts = (("pod", "a"), ("pod", "b"), ("summary", "c"), ("pod", "d"))
    CHANNELS["pagerduty"].at(receiver).send(replace(NOTICE, facts=facts, summary="s", incident="", level=None))
    details = receiver.last.json()["payload"]["custom_details"]
    assert details == {"summary": "s", "pod": "a", "pod (2)": "b", "summary (2)": "c", "pod (3)": "d"}


def test_slack_gets_a_message_to_read(receiver: Receiver) -> None:
    told = CHANNELS["slack"].at(receiver).send(NOTICE)
    assert told == 'message "High task queue depth at production: failed gate"'
    sent = receiver.last.json()
    assert sent["text"].startswith("High task queue depth at production: failed gate. 912 tasks wait")
    header, summary, fields, button, context = sent["blocks"]
    assert header["text"]["text"] == "High task queue depth at production: failed gate"
    assert summary["text"]["text"] == NOTICE.summary
    assert [field["text"] for field in fields["fields"]] == [
        "*Site*\nproduction",
        "*Runbook*\nhigh_task_queue_depth",
        "*Severity*\nwarning",
        "*Called*\nlevel 2, Platform Team Lead",
        "*Tried*\nscale workers out",
        "*Queue*\n912 -&gt; 940 tasks",
    ]
    assert button["elements"][0]["url"] == NOTICE.link
    assert context["elements"][0]["text"] == "2026-03-14 03:30:00 UTC, incident 4f0c"


@pytest.mark.parametrize(
    "hostile", ["<!channel>", "<!here|here>", "<@U1>", "<https://evil.example|click>", "&lt;!here>"]
)
def test_nobody_can_be_called_or_lured_through_a_text(receiver: Receiver, hostile: str) -> None:
    everywhere = replace(
        NOTICE, title=hostile, summary=hostile, site=hostile, incident=hostile, facts=((hostile, hostile),)
    )
    CHANNELS["slack"].at(receiver).send(everywhere)
    sent = receiver.last.json()
    valid("slack-incoming-webhook", sent)  # no < and >, no & but in an entity, no linking of names
    escaped = hostile.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert json.dumps(sent).count(escaped) == 8


def test_many_facts_are_shown_as_far_as_there_is_room(receiver: Receiver) -> None:
    facts = tuple((f"fact {count}", "x" * 400) for count in range(120))
    CHANNELS["slack"].at(receiver).send(replace(NOTICE, facts=facts))
    sent = receiver.last.json()
    valid("slack-incoming-webhook", sent)
    shown = [field["text"] for block in sent["blocks"] for field in block.get("fields", ())]
    told = [element["text"] for block in sent["blocks"] if block["type"] == "context" for element in block["elements"]]
    of_these = len(shown) - 4  # four are ours
    assert of_these > 15
    assert told[0] == f"{120 - of_these} more are not shown"


@pytest.mark.parametrize(
    "link", ["", "javascript:alert(1)", "not a link", "http://", "http://[", "x" * 9, "http://x/" + "y" * 9999]
)
def test_a_link_that_is_none_is_left_out(channel: Channel, receiver: Receiver, link: str) -> None:
    channel.at(receiver).send(replace(NOTICE, link=link))
    valid(channel.schema, receiver.last.json())
    assert "Run and report" not in receiver.last.body.decode()


def test_the_time_keeps_its_zone(receiver: Receiver) -> None:
    there = NOTICE.at.astimezone(timezone(timedelta(hours=-7)))
    CHANNELS["pagerduty"].at(receiver).send(replace(NOTICE, at=there))
    assert receiver.last.json()["payload"]["timestamp"] == "2026-03-13T20:30:00.000-07:00"


def test_the_webhook_sends_its_token(receiver: Receiver) -> None:
    assert CHANNELS["webhook"].at(receiver).send(NOTICE) == "notice runbooks/incident/4f0c"
    assert receiver.last.headers["Authorization"] == f"Bearer {TOKEN}"
    Webhook(SecretStr(receiver.url)).send(NOTICE)
    assert "Authorization" not in receiver.last.headers
    assert receiver.last.json()["level"] == {"number": 2, "name": "Platform Team Lead"}


# ---- hostile texts -------------------------------------------------------------------------------------------------

_NASTY = st.sampled_from(
    ["<!channel>", "@here", "&", "&amp;", "<", '"', "\\", "\x00", "\x1b[31m", "\ud800", "\udfff", "\u2028", "😀", "漢",
     "e\u0301", "\u202e", "\n", "\t", " ", "%s", "{}", "a"]
)  # fmt: skip
_ANY = st.text(st.characters(exclude_categories=()), max_size=60)
_LONG = st.builds(lambda text, times: text * times, _NASTY, st.integers(1, 6000))
_TEXT = st.one_of(_ANY, _NASTY, _LONG, st.builds(lambda *parts: "".join(parts), _LONG, _ANY, _LONG))
_FACTS = st.lists(st.tuples(_TEXT, _TEXT), max_size=6).flatmap(
    lambda some: st.integers(1, 40).map(lambda times: tuple(some * times))
)
_NOTICES = st.builds(
    Notice,
    kind=st.sampled_from(NoticeKind),
    title=_TEXT,
    summary=_TEXT,
    severity=st.sampled_from(Severity),
    site=_TEXT,
    dedup_key=_TEXT.filter(bool),
    at=st.datetimes(timezones=st.just(UTC)),
    incident=_TEXT,
    runbook=_TEXT,
    link=st.one_of(_TEXT, _TEXT.map(lambda text: f"https://prefect.example/{text}")),
    facts=_FACTS,
    level=st.none() | st.builds(Level, st.integers(1, 9), _TEXT, _TEXT, _TEXT, _TEXT),
)


def _over_the_wire(content: Mapping[str, object]) -> tuple[int, Any]:
    """The size of the content in bytes, and the content as its receiver reads it."""
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "strict")
    return len(body), json.loads(body)


@quick
@given(_NOTICES)
def test_pagerdutys_limits_hold_for_any_text(notice: Notice) -> None:
    size, event = _over_the_wire(pagerduty.event(notice))
    valid("pagerduty-events-v2", {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", **event})
    assert size < 512_000
    assert len(event["payload"]["summary"].encode("utf-16-le")) <= 2 * 1024


@quick
@given(_NOTICES)
def test_slacks_limits_hold_for_any_text(notice: Notice) -> None:
    _, message = _over_the_wire(slack.message(notice))
    valid("slack-incoming-webhook", message)
    assert _over_the_wire({"blocks": message["blocks"]})[0] < 13_000, "msg_blocks_too_long"


@quick
@given(_NOTICES)
def test_the_webhooks_limits_hold_for_any_text(notice: Notice) -> None:
    _, body = _over_the_wire(webhook.body(notice))
    valid("notice", body)
    assert len(body["facts"]) + body["facts_left_out"] == len(notice.facts)


@settings(quick, max_examples=10)
@given(notice=_NOTICES)
@pytest.mark.parametrize("name", list(CHANNELS))
def test_any_text_can_be_sent(name: str, shared_receiver: Receiver, notice: Notice) -> None:
    CHANNELS[name].at(shared_receiver).send(notice)
    valid(CHANNELS[name].schema, shared_receiver.last.json())


_SAID = st.sampled_from(
    ["password=%s", "Authorization: Bearer %s", "redis://user:%s@redis:6379/0", '{"api_key": "%s"}',
     "https://hooks.slack.com/services/T/B/%s", "token: %s"]
)  # fmt: skip
_FILLER = st.builds(
    lambda text, times: text * times, st.sampled_from(["word ", "<&> ", "😀 ", "漢 "]), st.integers(0, 1100)
)


@quick
@given(_FILLER, _SAID, _FILLER)
@pytest.mark.parametrize("build", [pagerduty.event, slack.message, webhook.body], ids=list(CHANNELS))
def test_no_secret_leaves_in_a_text_wherever_it_is_cut(
    build: Callable[[Notice], dict[str, object]], before: str, said: str, after: str
) -> None:
    text = f"{before} {said % 'Zq7secret0000'} {after}"
    told = replace(
        NOTICE,
        title=text,
        summary=text,
        site=text,
        facts=(("log", text), ("password", "Zq7secret"), ("DB_PASSWORD", "a Zq7secret"), (text, "x")),
        link="https://prefect.example/?token=Zq7secret",
    )
    assert not SECRET.search(json.dumps(build(told), ensure_ascii=False))
