"""Posting JSON to an address that may itself be a secret.

Only httpx's transport is used, not its client: the client logs every URL, and its errors hold the request. What is
raised here shows the receiver's name and host, never the rest of the address, a key, or words that may repeat them.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from pydantic import SecretStr

from tasks.redact import redact
from tasks.systems.notify.text import web_address
from tasks.systems.tls import trusted

_BODY_AT_MOST = 65_536
_PAUSE_AT_MOST = timedelta(days=1)


class NotAccepted(httpx.HTTPStatusError):
    """The receiver answered, and did not take the notice; the text says who, how, and why where that is known.

    `retry_after` is how long the receiver wants to be left alone, where it says so.
    """

    def __init__(self, receiver: str, why: str, answer: Answer) -> None:
        text = f"{receiver} answered {answer.status}" + (f": {why}" if why else "")
        response = httpx.Response(answer.status, text=why, request=answer.shown)
        super().__init__(text, request=answer.shown, response=response)
        self.retry_after = answer.retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `shown` is the request as it may be shown: without path, query, headers and body. The answer's
    body may repeat any of them."""

    status: int
    body: str = field(repr=False)
    retry_after: timedelta | None
    shown: httpx.Request


def check_address(url: SecretStr, what: str) -> None:
    """Whether something can be posted there at all.

    Raises:
        ValueError: it is no http or https address. The text does not repeat it.
    """
    if web_address(url.get_secret_value()) is None:
        raise ValueError(f"{what} is no http or https address")


def reach(url: str, timeout: float = 5.0) -> int:
    """The status of whatever the receiver's host answers: it is asked for its front page, so nothing is posted, and
    nothing of the address but the host is sent.

    Raises:
        httpx.TransportError: no answer.
        httpx.UnsupportedProtocol: the proxy of the environment is no address.
    """
    address = httpx.URL(url)
    front = httpx.URL(scheme=address.scheme, host=address.host, port=address.port, path="/")
    request = httpx.Request("GET", front, headers={"User-Agent": "prefect-runbooks"})
    request.extensions = {"timeout": httpx.Timeout(timeout).as_dict()}
    with httpx.HTTPTransport(verify=trusted(), proxy=_proxy(address)) as transport:
        response = transport.handle_request(request)
        response.close()
    return response.status_code


def post(url: SecretStr, content: Mapping[str, object], timeout: float, token: SecretStr | None = None) -> Answer:
    """Posts JSON; secrets may stand in it as they are. The token is sent as a bearer token.

    `timeout` is in seconds, for each of connecting, sending and waiting for a part of the answer, and for the body of
    the answer as a whole. Redirections are not followed. Proxies of the environment (HTTPS_PROXY, NO_PROXY) are used.

    Raises:
        httpx.TransportError: no answer.
    """
    answer = _exchange(url, content, timeout, token)
    if isinstance(answer, httpx.TransportError):
        raise answer  # made anew: neither it nor its traceback holds the request
    return answer


def _exchange(
    url: SecretStr, content: Mapping[str, object], timeout: float, token: SecretStr | None
) -> Answer | httpx.TransportError:
    address = httpx.URL(url.get_secret_value())
    shown = httpx.Request("POST", httpx.URL(scheme=address.scheme, host=address.host, port=address.port))
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "prefect-runbooks"}
    if token:
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    body = json.dumps(content, default=_reveal, ensure_ascii=False).encode()
    limits = {"timeout": httpx.Timeout(timeout).as_dict()}
    request = httpx.Request("POST", address, headers=headers, content=body, extensions=limits)
    try:
        with httpx.HTTPTransport(verify=trusted(), proxy=_proxy(address)) as transport:
            response = transport.handle_request(request)
            text = _read(response, timeout)
    except httpx.TimeoutException as error:
        return type(error)(f"no answer within {timeout:g} s", request=shown)
    except httpx.TransportError as error:
        return type(error)(redact(str(error)), request=shown)
    return Answer(response.status_code, text, _pause(response.headers.get("Retry-After", "")), shown)


def _reveal(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _read(response: httpx.Response, timeout: float) -> str:
    """The beginning of the body: no receiver of ours has much to say, and none may hold a page up by talking."""
    body, deadline = b"", time.monotonic() + timeout
    for part in response.iter_raw():
        body += part
        if len(body) >= _BODY_AT_MOST:
            break
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer does not end")
    response.close()
    return body[:_BODY_AT_MOST].decode(errors="replace")


def _pause(value: str) -> timedelta | None:
    """A Retry-After header, in seconds or as a date, at most a day; None where there is none that can be read."""
    value = value.strip()
    try:
        if value.isascii() and value.isdecimal():
            pause = timedelta(seconds=int(value[:9]))
        else:
            pause = parsedate_to_datetime(value) - datetime.now(UTC)
    except (ValueError, TypeError):  # TypeError: a date without a time zone
        return None
    return min(max(pause, timedelta(0)), _PAUSE_AT_MOST)


def _proxy(address: httpx.URL) -> httpx.Proxy | None:
    proxies = urllib.request.getproxies()
    wanted = proxies.get(address.scheme) or proxies.get("all")
    if not wanted or urllib.request.proxy_bypass(address.host):
        return None
    proxy = web_address(wanted if "://" in wanted else f"http://{wanted}")
    if proxy is None:
        raise httpx.UnsupportedProtocol("the proxy that the environment names is no http or https address")
    return httpx.Proxy(proxy)
