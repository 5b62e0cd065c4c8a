"""Alertmanager's routes: to which receivers an alert with given labels goes.

Source: https://prometheus.io/docs/alerting/latest/configuration/#route. A test holds it against `amtool`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_MATCHER = re.compile(r'"?(?P<label>[\w:.-]+)"?\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*"|[^,{}\s]*)')


def receivers_of(route: Mapping[str, Any], labels: Mapping[str, str], inherited: str = "") -> list[str]:
    """The receivers of an alert below a route that it has come to, in their order.

    Raises:
        ValueError: a matcher cannot be read.
    """
    receiver, found = str(route.get("receiver") or inherited), list[str]()
    for below in route.get("routes") or ():
        if all(_holds(label, operator, value, labels) for label, operator, value in _matchers(below)):
            found += receivers_of(below, labels, receiver)
            if not below.get("continue"):
                break
    return found or [receiver]


def _matchers(route: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The matchers of a route, in the present spelling and in the two old ones."""
    for operator, old in (("=", "match"), ("=~", "match_re")):
        for label, value in (route.get(old) or {}).items():
            yield str(label), operator, str(value)
    for text in route.get("matchers") or ():
        found = list(_MATCHER.finditer(text))
        if not found:
            raise ValueError(f"the matcher {text!r} cannot be read")
        for one in found:
            yield one["label"], one["operator"], re.sub(r"\\(.)", r"\1", one["value"].strip('"'))


def _holds(label: str, operator: str, value: str, labels: Mapping[str, str]) -> bool:
    """Whether a matcher holds; a label that is not there is empty."""
    has = labels.get(label, "")
    try:
        same = re.fullmatch(value, has) is not None if operator.endswith("~") else has == value
    except re.error as error:
        raise ValueError(f"the pattern {value!r} cannot be read: {error}") from error
    return same != operator.startswith("!")
