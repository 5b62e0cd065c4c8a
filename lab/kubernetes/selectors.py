"""Label and field selectors: the text form of list requests and the structured form of objects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.kubernetes.objects import Object

_TERM = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>[^\s,=!()]+)
      | (?P<key>[^\s,=!()]+)\s*(?:
            (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
          | (?P<operator>==|!=|=)\s*(?P<value>[^\s,=!()]*)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)


class SelectorError(ValueError):
    """The text is not a selector."""


@dataclass(frozen=True)
class Requirement:
    """One condition on one label. `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "In" if len(self.values) == 1:
                return f"{self.key}={values}"
            case "In" | "NotIn":
                return f"{self.key} {self.operator.lower()} ({values})"
            case "Exists":
                return self.key
            case _:
                return f"!{self.key}"


@dataclass(frozen=True)
class LabelSelector:
    """All requirements must hold; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Reads `app=web,tier in (a,b),!canary`. Raises SelectorError."""
        requirements, position = [], 0
        while position < len(text):
            term = _TERM.match(text, position)
            if term is None or term.end() == position:
                raise SelectorError(f"unable to parse requirement: {text[position:]!r}")
            position = term.end()
            requirements.append(_requirement(term))
        return cls(tuple(requirements))

    @classmethod
    def of(cls, selector: Object) -> LabelSelector:
        """Reads `{"matchLabels": ..., "matchExpressions": ...}`."""
        equal = [
            Requirement(key, "In", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()
        ]
        expressions = [
            Requirement(each["key"], each["operator"], frozenset(each.get("values") or ()))
            for each in selector.get("matchExpressions") or ()
        ]
        return cls((*equal, *expressions))

    def matches(self, document: Object) -> bool:
        return self.matches_labels(document["metadata"].get("labels") or {})

    def matches_labels(self, labels: dict[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(sorted(str(requirement) for requirement in self.requirements))


@dataclass(frozen=True)
class FieldSelector:
    """Terms of (path, wanted value, negated); all must hold."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """Reads `status.phase=Running,metadata.name!=a`. Raises SelectorError."""
        terms = []
        for term in filter(None, (part.strip() for part in text.split(","))):
            match = re.match(r"^([^=!]+)(!=|==|=)(.*)$", term)
            if match is None:
                raise SelectorError(f"invalid selector: {term!r}; can't understand {term!r}")
            terms.append((match[1].strip(), match[3].strip(), match[2] == "!="))
        return cls(tuple(terms))

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.terms]

    def matches(self, document: Object) -> bool:
        return all((_field(document, path) == wanted) != negated for path, wanted, negated in self.terms)


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["absent_key"], "DoesNotExist")
    if term["set"]:
        values = frozenset(value.strip() for value in term["values"].split(","))
        return Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values)
    if term["operator"]:
        return Requirement(term["key"], "NotIn" if term["operator"] == "!=" else "In", frozenset({term["value"]}))
    return Requirement(term["key"], "Exists")


def _field(document: Object, path: str) -> str:
    value: object = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
