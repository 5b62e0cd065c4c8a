"""No answer, and no secret in what is raised, shown or logged."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from lab.kubernetes.certificates import server_context
from tasks.systems.errors import explain, is_transient
from tasks.systems.notify import NotAccepted, Notifier, PagerDuty, Slack, Webhook
from tests.contract.notify.channels import CHANNELS, HOOK, KEY, NOTICE, SECRET, Channel
from tests.contract.receiver import Receiver, receiving
from tests.contract.servers import free_port

pytestmark = pytest.mark.live


# ---- no answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ({"hang": True}, httpx.ReadTimeout, "did not answer in time"),
        ({"endless": b" "}, httpx.ReadTimeout, "did not answer in time"),
        ({"drop": True}, httpx.RemoteProtocolError, "Server disconnected"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_answer_that_does_not_come(
    channel: Channel, receiver: Receiver, answer: dict[str, Any], kind: type[Exception], said: str
) -> None:
    notifier = channel.at(receiver, timeout=0.3)
    receiver.answers(200, "", **answer)
    with pytest.raises(kind) as raised:
        notifier.send(NOTICE)
    assert is_transient(raised.value)
    assert said in explain(raised.value)


def test_nobody_listens(channel: Channel) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(httpx.ConnectError) as raised:
        channel.make(url, 1).send(NOTICE)
    assert is_transient(raised.value)
    assert explain(raised.value) == f"{url} cannot be reached: [Errno 111] Connection refused"


def test_a_flood_of_words_is_read_no_further_than_needed(receiver: Receiver) -> None:
    notifier = CHANNELS["webhook"].at(receiver, timeout=1)
    receiver.answers(200, endless=b"x" * 100_000)
    assert notifier.send(NOTICE), "taken, whatever else is said"


def test_a_certificate_that_nobody_trusts_gets_no_secret(channel: Channel, tmp_path: Path) -> None:
    with receiving(server_context(tmp_path, "receiver")) as impostor:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            channel.make(impostor.url, 2).send(NOTICE)
        assert impostor.arrived == []


def test_the_proxy_of_the_environment(channel: Channel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answers(channel.status, channel.yes)
    monkeypatch.setenv("http_proxy", receiver.url.removeprefix("http://"))
    channel.make("http://receiver.example", 2).send(NOTICE)
    assert receiver.last.path == f"http://receiver.example{channel.target}"
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    channel.at(receiver).send(NOTICE)
    assert receiver.last.path == channel.target


@pytest.mark.parametrize("proxy", ["socks5://Zq7:Zq7@127.0.0.1:1", "ftp://Zq7:Zq7@127.0.0.1", "http://Zq7:Zq7@:x"])
def test_a_proxy_that_is_none(channel: Channel, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(httpx.UnsupportedProtocol) as raised:
        channel.make("http://receiver.example", 2).send(NOTICE)
    assert not is_transient(raised.value)
    no_secret_in(raised.value)


# ---- secrets -------------------------------------------------------------------------------------------------------


def no_secret_in(error: BaseException | None) -> None:
    """Neither in what the error says and holds, nor in what its traceback shows of our own frames."""
    while error is not None:
        shown = [str(error), repr(error), repr(error.args), explain(error), *map(repr, vars(error).values())]
        if isinstance(error, httpx.RequestError | httpx.HTTPStatusError):
            shown += [str(error.request.url), str(error.request.headers), error.request.content.decode()]
        if isinstance(error, httpx.HTTPStatusError):
            shown += [error.response.text, str(error.response.headers)]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tasks/" in frame.f_code.co_filename:
                shown += [repr(value) for value in frame.f_locals.values()]
        assert not [text for text in shown if SECRET.search(text)]
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("status", "body", "how"),
    [
        (400, "", {"echo": True}),
        (429, "", {"echo": True}),
        (500, "", {"echo": True}),
        (400, json.dumps({"message": f"{KEY} is wrong", "errors": [f"routing_key={KEY}", KEY]}), {}),
        (200, HOOK, {}),
        (0, "", {"hang": True}),
        (0, "", {"drop": True}),
        (200, "", {"endless": b" ", "echo": True}),
    ],
    ids=["echo 400", "echo 429", "echo 500", "the key", "the hook", "hang", "drop", "endless"],
)
def test_no_secret_is_in_what_is_raised_or_logged(
    channel: Channel, receiver: Receiver, caplog: pytest.LogCaptureFixture, status: int, body: str, how: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    notifier = channel.at(receiver, timeout=0.3)
    assert not SECRET.search(repr(notifier))
    assert not SECRET.search(notifier.name)
    receiver.answers(status, body, **how)
    try:
        told = notifier.send(NOTICE)
    except (NotAccepted, httpx.TransportError) as error:
        no_secret_in(error)
    else:
        assert not SECRET.search(told)
    assert SECRET.search(receiver.last.path + str(receiver.last.headers) + receiver.last.body.decode()), "it was sent"
    assert caplog.records, "what httpx's transport logs was looked at"
    assert not [record for record in caplog.records if SECRET.search(record.getMessage())]


def test_no_secret_is_in_what_a_success_logs(
    channel: Channel, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = channel.at(receiver).send(NOTICE)
    assert not [text for text in (told, caplog.text) if SECRET.search(text)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: PagerDuty(SecretStr("Zq7 too short")),
        lambda: PagerDuty(SecretStr("Zq7" + "ü" * 29)),
        lambda: PagerDuty(SecretStr(KEY + "\n")),
        lambda: PagerDuty(SecretStr(KEY), "events.pagerduty.com"),
        lambda: Slack(SecretStr("")),
        lambda: Slack(SecretStr("Zq7")),
        lambda: Slack(SecretStr("ftp://hooks.slack.com/services/Zq7")),
        lambda: Slack(SecretStr("https://hooks.slack.com:Zq7/services")),
        lambda: Slack(SecretStr("https://hooks.slack.com/services/Zq7\n")),
        lambda: Slack(SecretStr("https://" + "Zq7" * 30 + ".example/")),
        lambda: Webhook(SecretStr("http://")),
        lambda: Webhook(SecretStr("http://x"), SecretStr("Zq7\nX-Evil: 1")),
        lambda: Webhook(SecretStr("http://x"), SecretStr("Zq7ü")),
        lambda: Webhook(SecretStr("http://x"), SecretStr("Zq7 Zq7")),
    ],
)
def test_what_can_never_work_is_said_at_once(make: Callable[[], Notifier]) -> None:
    with pytest.raises(ValueError, match=r"address|digits|header") as raised:
        make()
    no_secret_in(raised.value)
