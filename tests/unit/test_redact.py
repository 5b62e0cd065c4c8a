"""No secret survives redaction, wherever it stands; what is no secret stays."""

from __future__ import annotations

import json
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.redact import redact

# Long and odd enough not to be a part of the words around it.
_BODY = st.text(string.ascii_letters + string.digits, min_size=6, max_size=20).map(lambda text: f"Zq7{text}")
_ODD = st.text(string.ascii_letters + string.digits + "!$%^*()+,.;:@/?#[]{}|~-_=&", min_size=4, max_size=20).map(
    lambda text: f"Zq7{text}9Zq"
)
_NAME = st.sampled_from(
    ["password", "DB_PASSWORD", "PGPASSWORD", "redis.password", "passwd", "pwd", "client_secret", "secretKey", "token",
     "access_token", "aws_secret_access_key", "AWS_SESSION_TOKEN", "api_key", "apiKey", "X-Api-Key", "private-key",
     "routing_key", "credential"]
)  # fmt: skip


def _gone(secret: str, text: str) -> None:
    shown = redact(text)
    assert secret not in shown, f"{text!r} became {shown!r}"
    assert "Zq7" not in shown, f"a part is left: {text!r} became {shown!r}"
    assert redact(shown) == shown


@given(_ODD)
def test_password_in_url(secret: str) -> None:
    _gone(secret, f"redis://user:{secret}@redis.example:6379/0 cannot be reached")


@given(_BODY)
def test_password_without_a_user(secret: str) -> None:
    _gone(secret, f"redis://:{secret}@redis:6379/0")


@given(_ODD)
def test_encoded_password_in_url(secret: str) -> None:
    _gone(quote(secret, safe=""), f"postgresql+psycopg://app:{quote(secret, safe='')}@db/app?sslmode=require")


@given(_BODY)
def test_token_as_the_user_of_a_url(secret: str) -> None:
    _gone(secret, f"cloning https://{secret}@git.example/repo")


@given(_NAME, _BODY, st.sampled_from(["=", ": ", " = ", ":"]))
def test_key_and_value(name: str, secret: str, sign: str) -> None:
    _gone(secret, f"level=error {name}{sign}{secret} user=bob")


@given(_NAME, _BODY)
def test_query_parameter(name: str, secret: str) -> None:
    text = f"GET https://api.example/v1?{name}={secret}&limit=10 answered 500"
    _gone(secret, text)
    assert "limit=10" in redact(text)


@given(_NAME, st.text(min_size=1, max_size=20).map(lambda text: f'Zq7"{text}'))
def test_json_with_any_text_as_its_value(name: str, secret: str) -> None:
    for text in (json.dumps({name: secret, "user": "bob"}), json.dumps({name: secret}, ensure_ascii=False)):
        assert "Zq7" not in redact(text)
        assert redact(text).count("***") == 1


@given(_NAME, _BODY)
def test_json_inside_json(name: str, secret: str) -> None:
    _gone(secret, json.dumps({"body": json.dumps({name: secret, "user": "bob"})}))


@given(_NAME, _BODY)
def test_python_dictionaries(name: str, secret: str) -> None:
    _gone(secret, f"request failed: { ({name: secret})!r}")
    _gone(secret, f"request failed: { ({name: secret.encode()})!r}")


@given(_NAME, _BODY)
def test_json_that_was_cut_off(name: str, secret: str) -> None:
    _gone(secret, json.dumps({name: secret})[:-2])


@given(st.sampled_from(["Bearer", "Basic", "Token", "GenieKey", "ApiKey", "Digest"]), _BODY)
def test_authorization_header(scheme: str, secret: str) -> None:
    for text in (
        f"Authorization: {scheme} {secret}",
        f"authorization={scheme} {secret}",
        repr({"Authorization": f"{scheme} {secret}"}),
        json.dumps({"headers": {"authorization": f"{scheme} {secret}"}}),
    ):
        _gone(secret, text)


@given(_BODY)
def test_cookies(secret: str) -> None:
    _gone(secret, f"Cookie: theme=dark; session={secret}")


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nZq7abc\nZq7def\n-----END PRIVATE KEY-----",
        "private_key: -----BEGIN RSA PRIVATE KEY-----\nZq7abc\n-----END RSA PRIVATE KEY-----",
        json.dumps({"private_key": "-----BEGIN PRIVATE KEY-----\nZq7abc\n-----END PRIVATE KEY-----\n"}),
        "-----BEGIN OPENSSH PRIVATE KEY-----\nZq7 cut off",
        "posting to https://hooks.slack.com/services/T000/B000/Zq7abcdefgh failed",
        "refused: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJacTcifQ.Zq7abcdefghijk",
        "using AKIAIOSFODNN7EXAMPLE",
        "using ghp_Zq7abcdefghijklmnop",
    ],
)
def test_secrets_that_are_known_by_their_look(text: str) -> None:
    shown = redact(text)
    assert "Zq7" not in shown
    assert "IOSFODNN7" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9090/api/v1/query answered 503",
        "http://127.0.0.1:9090/api/v1/query?query=up@end answered 503",
        'secrets "db" is forbidden: User "viewer" cannot get resource "secrets"',
        "tokens: 1234, token_count: 5, token_usage=0.7, tokens_total 8",
        "replicas of deployment message-bus/orchestration: at least 5",
        'orchestration_task_queue_pending{namespace="bus"} > 800',
        "no secret was found",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    ["a." * 20_000, "x://a" * 20_000, "token" * 20_000, "password:" + " " * 50_000, 'password="' + "\\" * 50_000],
)
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 2
