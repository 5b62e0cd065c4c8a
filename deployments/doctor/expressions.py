"""What an alert rule's expression watches: the series that it selects, and the number that it holds them against.

Nothing on the registries parses PromQL in Python, and Prometheus tells no more of a rule than its text. This reads
tokens, not the grammar: what it cannot tell apart it says it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<matchers>\{(?:[^{}"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
  | (?P<range>\[[^\]]*\])
  | (?P<number>\.?\d[\w.]*(?:(?<=[eE])[-+]\d+)?)
  | (?P<name>[A-Za-z_:][\w:]*)
  | (?P<operator>[<>=!~]+|.)
    """,
    re.X | re.S,
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_AGGREGATORS = frozenset(
    {"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile"}
)
_SETS = frozenset({"and", "or", "unless"})
_WORDS = _GROUPING | _SETS | {"bool", "offset", "atan2", "inf", "nan", "start", "end"}
_THRESHOLD = re.compile(
    r"(?P<watched>.*[^\s<>=!])\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<bound>[-+]?[\w.]+[-+\d]*)", re.S
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition: what is watched, as PromQL, and the number that it is held against, e.g. `> 800`."""

    watched: str
    operator: str
    bound: float

    def __str__(self) -> str:
        return f"{self.operator} {self.bound:g}"


def selectors(expression: str) -> tuple[str, ...]:
    """The selectors of an expression, e.g. `up{job="x"}`, each once, in their order."""
    tokens = list(_tokens(expression))
    found: dict[str, None] = {}
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1] if place + 1 < len(tokens) else ("", "")
        place += 1
        if kind == "matchers":
            found[text] = None
        elif kind == "name" and text.lower() in _GROUPING:
            if following[1] == "(":  # labels, not series
                place = next((n for n in range(place, len(tokens)) if tokens[n][1] == ")"), len(tokens)) + 1
        elif kind == "name" and following[0] == "matchers":
            found[text + following[1]] = None
            place += 1
        elif kind == "name" and not _is_word(text, following):
            found[text] = None
    return tuple(found)


def _is_word(name: str, following: tuple[str, str]) -> bool:
    """Whether a name is a function, an aggregation or a keyword, and no series."""
    if following[1] == "(" or name.lower() in _WORDS:
        return True
    return name.lower() in _AGGREGATORS and following[1].lower() in _GROUPING


def threshold(expression: str) -> Threshold | None:
    """The condition with which an expression ends; None where it ends in none, or is made of several."""
    text = _without_brackets(expression)
    found = _THRESHOLD.fullmatch(text)
    if found is None or _several(text):
        return None
    try:
        bound = float(found["bound"])
    except ValueError:
        return None
    return Threshold(found["watched"].strip(), found["operator"], bound)


def _several(expression: str) -> bool:
    """Whether conditions are joined, outside of any brackets."""
    depth = 0
    for kind, text in _tokens(expression):
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "operator" else 0
        if depth == 0 and kind == "name" and text.lower() in _SETS:
            return True
    return False


def _without_brackets(expression: str) -> str:
    """The expression without brackets around the whole of it, and without comments."""
    text = "".join("" if text.startswith("#") else text for _, text in _tokens(expression, spaces=True)).strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for number, character in enumerate(text):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0 and number < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def _tokens(expression: str, *, spaces: bool = False) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(expression):
        if spaces or match.lastgroup != "space":
            yield match.lastgroup or "", match[0]
