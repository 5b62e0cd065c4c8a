"""Which errors may go away by themselves, and which will not."""

from __future__ import annotations

import json

import httpx
import redis.exceptions
import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from tasks.systems.notify import NotAccepted

_TRANSIENT_STATUS = {0, 408, 425, 429, 500, 502, 503, 504}


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: connections, timeouts, 429 and 5xx. Not 401, 403, 404 or bad requests."""
    match error:
        case httpx.HTTPStatusError():
            return error.response.status_code in _TRANSIENT_STATUS
        case ApiException():
            return (error.status or 0) in _TRANSIENT_STATUS
        case redis.exceptions.AuthenticationError() | redis.exceptions.AuthorizationError():
            return False
        case httpx.UnsupportedProtocol() | urllib3.exceptions.LocationValueError():  # a wrong URL stays wrong
            return False
        case httpx.TransportError() | urllib3.exceptions.HTTPError():
            return True
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return True
        case PermissionError() | FileNotFoundError():
            return False
        case ConnectionError() | TimeoutError():
            return True
        case _:
            return False


def turned_away(error: BaseException) -> bool:
    """Whether the target itself answered that it did not do what was asked: a 4xx, apart from its own timeout."""
    match error:
        case httpx.HTTPStatusError():
            status = error.response.status_code
        case ApiException():
            status = error.status or 0
        case _:
            return False
    return 400 <= status < 500 and status != 408


def explain(error: BaseException) -> str:
    """The error in one sentence that says what failed and, where that is known, what to do."""
    match error:
        case ApiException() if error.status == 401:
            return "Kubernetes does not know this account (401): renew the token in the kubeconfig"
        case ApiException() if error.status == 403:
            return f"Kubernetes forbids it (403): {_message(error)}"
        case ApiException():
            return f"Kubernetes answered {error.status or 'nothing'}: {_message(error)}"
        case NotAccepted():
            return str(error)
        case httpx.HTTPStatusError():
            return f"{_url(error)} answered {error.response.status_code}"
        case httpx.TimeoutException():
            return f"{_url(error)} did not answer in time"
        case httpx.InvalidURL():  # it shows a part of the URL, where a password may be
            return "the URL cannot be read: /, #, ? and @ in a password have to be percent-encoded"
        case httpx.TransportError():
            return f"{_url(error)} cannot be reached: {error}"
        case urllib3.exceptions.MaxRetryError():
            return f"{error.pool} cannot be reached: {error.reason}"
        case _:
            return str(error) or type(error).__name__


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _url(error: httpx.HTTPError) -> str:
    try:
        return str(error.request.url.copy_with(query=None))
    except RuntimeError:  # the request was never built
        return "the server"
