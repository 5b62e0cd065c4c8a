"""The OpenAPI definitions of the Kubernetes API: merge keys, known fields and types.

They come with the package `kubernetes-validate`, and drive strategic merge, decoding, server-side apply and
`/openapi/v3`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object

Schema = dict[str, Any]
_RELEASE = "v1.37.0-local"
_REFERENCE = "#/$defs/"


@cache
def definitions() -> dict[str, Schema]:
    path = files("kubernetes_validate") / "kubernetes-json-schema" / _RELEASE / "_definitions.json"
    found: dict[str, Schema] = json.loads(path.read_text(encoding="utf-8"))["$defs"]
    return found


@cache
def name_of_kind(group: str, version: str, kind: str) -> str | None:
    """The definition's name, for example `io.k8s.api.apps.v1.Deployment`."""
    wanted = {"group": group, "version": version, "kind": kind}
    for name, definition in definitions().items():
        if wanted in definition.get("x-kubernetes-group-version-kind", ()):
            return name
    return None


def of_kind(group: str, version: str, kind: str) -> Schema:
    """The schema of a kind; empty (anything goes) for a kind without one, such as those of metrics.k8s.io."""
    name = name_of_kind(group, version, kind)
    return definitions()[name] if name else {}


def of(resource: Resource) -> Schema:
    return of_kind(resource.group, resource.version, resource.kind)


_resolved: dict[int, Schema] = {}
"""By the identity of the referring schema: those with a `$ref` all stand in the definitions, which live for ever."""


def resolve(schema: Schema) -> Schema:
    """The schema that a reference stands for; what the reference itself says (merge keys) wins."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    known = _resolved.get(id(schema))
    if known is None:
        own = {name: value for name, value in schema.items() if name != "$ref"}
        known = _resolved[id(schema)] = {**resolve(definitions()[reference.rpartition("/")[2]]), **own}
    return known


def property_of(schema: Schema, name: str) -> Schema | None:
    """The schema of one property of an object schema; None when the schema does not know that name."""
    schema = resolve(schema)
    known: dict[str, Schema] = schema.get("properties", {})
    if name in known:
        return known[name]
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return additional
    return None if known else {}


@dataclass(frozen=True)
class ListMerge:
    """How strategic merge treats a list: by key, as a set of plain values (no key), or replacing it (not merged)."""

    merged: bool
    key: str | None = None


def list_merge(schema: Schema) -> ListMerge:
    schema = resolve(schema)
    strategies = str(schema.get("x-kubernetes-patch-strategy", "")).split(",")
    return ListMerge("merge" in strategies, schema.get("x-kubernetes-patch-merge-key"))


def replaces_map(schema: Schema) -> bool:
    """Whether strategic merge replaces a map as a whole."""
    return "replace" in str(schema.get("x-kubernetes-patch-strategy", "")).split(",")


@dataclass(frozen=True)
class Mismatches:
    """What decoding found: fields the schema lacks, and values of the wrong type."""

    unknown: tuple[str, ...]
    mistyped: tuple[str, ...]


def check(document: Object, schema: Schema) -> Mismatches:
    unknown: list[str] = []
    mistyped: list[str] = []
    _check(document, schema, "", unknown, mistyped)
    return Mismatches(tuple(unknown), tuple(mistyped))


def _check(value: object, schema: Schema, path: str, unknown: list[str], mistyped: list[str]) -> None:
    schema = resolve(schema)
    if value is None or not schema:
        return
    if not _has_type(value, schema):
        mistyped.append(f"{path}: cannot unmarshal {_json_type(value)} into a field of type {_expected(schema)}")
    elif isinstance(value, dict):
        for name, child in value.items():
            child_path = f"{path}.{name}" if path else name
            child_schema = property_of(schema, name)
            if child_schema is None:
                unknown.append(child_path)
            else:
                _check(child, child_schema, child_path, unknown, mistyped)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, schema.get("items", {}), f"{path}[{index}]", unknown, mistyped)


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _types(schema: Schema) -> set[str]:
    found: set[str] = set()
    for each in schema.get("oneOf", [schema]):
        kinds = each.get("type", [])
        found.update([kinds] if isinstance(kinds, str) else kinds)
    return found - {"null"}


def _has_type(value: object, schema: Schema) -> bool:
    allowed = _types(schema)
    if isinstance(value, bool):
        return not allowed or "boolean" in allowed
    return not allowed or any(isinstance(value, _JSON_TYPES[kind]) for kind in allowed)


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return next(name for name, types in _JSON_TYPES.items() if isinstance(value, types)).replace("integer", "number")


def _expected(schema: Schema) -> str:
    return " or ".join(sorted(_types(schema)))
