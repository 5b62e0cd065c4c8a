"""Which errors are worth another attempt, and what people read about them."""

from __future__ import annotations

import json
from http import HTTPStatus

import httpx
import pytest
import redis.exceptions
import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from tasks.model.change import Conflict, NotInEffect, PreconditionFailed
from tasks.systems.errors import explain, is_transient
from tasks.systems.metrics import MissingMetric

REQUEST = httpx.Request("GET", "http://prometheus:9090/api/v1/query")


def answered(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(status, request=REQUEST))


def kubernetes(status: int, message: str = "") -> ApiException:
    error = ApiException(status=status, reason=HTTPStatus(status).phrase if status else None)
    error.body = json.dumps({"kind": "Status", "message": message}) if message else "<html>"
    return error


TABLE: list[tuple[BaseException, bool]] = [
    # HTTP answers
    *((answered(status), True) for status in (408, 425, 429, 500, 502, 503, 504)),
    *((answered(status), False) for status in (301, 400, 401, 403, 404, 409, 410, 422, 501)),
    # no HTTP answer
    (httpx.ConnectError("refused", request=REQUEST), True),
    (httpx.ConnectTimeout("", request=REQUEST), True),
    (httpx.ReadTimeout("", request=REQUEST), True),
    (httpx.RemoteProtocolError("server disconnected", request=REQUEST), True),
    (httpx.UnsupportedProtocol("missing http://", request=REQUEST), False),
    (httpx.InvalidURL("no host"), False),
    # Kubernetes
    *((kubernetes(status), True) for status in (0, 429, 500, 503, 504)),
    *((kubernetes(status), False) for status in (400, 401, 403, 404, 409, 410, 422)),
    (urllib3.exceptions.ProtocolError("reset"), True),
    (urllib3.exceptions.ReadTimeoutError(None, "/", "slow"), True),  # type: ignore[arg-type]
    (urllib3.exceptions.LocationParseError("no host"), False),
    # Redis
    (redis.exceptions.ConnectionError("refused"), True),
    (redis.exceptions.TimeoutError("slow"), True),
    (redis.exceptions.BusyLoadingError("loading"), True),
    (redis.exceptions.AuthenticationError("WRONGPASS"), False),
    (redis.exceptions.AuthorizationError("no"), False),
    (redis.exceptions.NoPermissionError("NOPERM"), False),
    (redis.exceptions.ResponseError("unknown command"), False),
    # the operating system
    (ConnectionRefusedError(), True),
    (ConnectionResetError(), True),
    (TimeoutError(), True),
    (PermissionError(), False),
    (FileNotFoundError(), False),
    # our own
    (Conflict(""), False),
    (PreconditionFailed(""), False),
    (NotInEffect(""), False),
    (MissingMetric(""), False),
    (ValueError(""), False),
    (ZeroDivisionError(), False),
]


def _name(case: object) -> str:
    status = getattr(getattr(case, "response", case), "status_code", getattr(case, "status", ""))
    return f"{type(case).__name__} {status}".strip() if isinstance(case, BaseException) else str(case)


@pytest.mark.parametrize(("error", "again"), TABLE, ids=_name)
def test_worth_another_attempt(error: BaseException, again: bool) -> None:
    assert is_transient(error) is again


SENTENCES: list[tuple[BaseException, str]] = [
    (kubernetes(401), "Kubernetes does not know this account (401): renew the token in the kubeconfig"),
    (kubernetes(403, 'User "viewer" cannot patch'), 'Kubernetes forbids it (403): User "viewer" cannot patch'),
    (kubernetes(404, "not found"), "Kubernetes answered 404: not found"),
    (kubernetes(502), "Kubernetes answered 502: Bad Gateway"),
    (kubernetes(0), "Kubernetes answered nothing: None"),
    (answered(503), "http://prometheus:9090/api/v1/query answered 503"),
    (httpx.ReadTimeout("", request=REQUEST), "http://prometheus:9090/api/v1/query did not answer in time"),
    (httpx.ConnectError("refused", request=REQUEST), "http://prometheus:9090/api/v1/query cannot be reached: refused"),
    (httpx.ConnectError("refused"), "the server cannot be reached: refused"),
    (MissingMetric("nobody exports it"), "nobody exports it"),
    (ZeroDivisionError(), "ZeroDivisionError"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=_name)
def test_explained_in_one_sentence(error: BaseException, sentence: str) -> None:
    assert explain(error) == sentence
