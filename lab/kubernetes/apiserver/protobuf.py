"""Protobuf bodies, as far as kubectl insists on them.

kubectl sends what it builds from typed structs as protobuf and has no way back to JSON. The messages below are those of
`create configmap`, `auth can-i`, `autoscale` and `drain`; field numbers are from Kubernetes' `generated.proto` files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes.objects import Object

_MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class _Field:
    """One field of a message: `kind` is string, int, bool, map (string to string) or message."""

    name: str
    kind: str = "string"
    message: Mapping[int, _Field] | None = None
    repeated: bool = False


_METADATA = {
    1: _Field("name"),
    2: _Field("generateName"),
    3: _Field("namespace"),
    5: _Field("uid"),
    6: _Field("resourceVersion"),
    11: _Field("labels", "map"),
    12: _Field("annotations", "map"),
}
_OBJECT_META = _Field("metadata", "message", _METADATA)
_RESOURCE_ATTRIBUTES = {
    1: _Field("namespace"),
    2: _Field("verb"),
    3: _Field("group"),
    4: _Field("version"),
    5: _Field("resource"),
    6: _Field("subresource"),
    7: _Field("name"),
}
_ACCESS_SPEC = {
    1: _Field("resourceAttributes", "message", _RESOURCE_ATTRIBUTES),
    2: _Field("nonResourceAttributes", "message", {1: _Field("path"), 2: _Field("verb")}),
}
_TARGET_REFERENCE = _Field("scaleTargetRef", "message", {1: _Field("kind"), 2: _Field("name"), 3: _Field("apiVersion")})
_METRIC_TARGET = {1: _Field("type"), 4: _Field("averageUtilization", "int")}
_METRIC_SOURCE = {1: _Field("name"), 2: _Field("target", "message", _METRIC_TARGET)}
_METRIC = {1: _Field("type"), 4: _Field("resource", "message", _METRIC_SOURCE)}
_DELETE_OPTIONS = {
    1: _Field("gracePeriodSeconds", "int"),
    2: _Field("preconditions", "message", {1: _Field("uid"), 2: _Field("resourceVersion")}),
    4: _Field("propagationPolicy"),
    5: _Field("dryRun", repeated=True),
}
_MESSAGES: dict[tuple[str, str], Mapping[int, _Field]] = {
    ("v1", "ConfigMap"): {1: _OBJECT_META, 2: _Field("data", "map")},
    ("v1", "Namespace"): {1: _OBJECT_META},
    ("v1", "DeleteOptions"): _DELETE_OPTIONS,
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: _OBJECT_META},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {
        1: _OBJECT_META,
        2: _Field("spec", "message", _ACCESS_SPEC),
    },
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {
        1: _OBJECT_META,
        2: _Field("spec", "message", {1: _Field("namespace")}),
    },
    ("autoscaling/v1", "HorizontalPodAutoscaler"): {
        1: _OBJECT_META,
        2: _Field(
            "spec",
            "message",
            {
                1: _TARGET_REFERENCE,
                2: _Field("minReplicas", "int"),
                3: _Field("maxReplicas", "int"),
                4: _Field("targetCPUUtilizationPercentage", "int"),
            },
        ),
    },
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {
        1: _OBJECT_META,
        2: _Field(
            "spec",
            "message",
            {
                1: _TARGET_REFERENCE,
                2: _Field("minReplicas", "int"),
                3: _Field("maxReplicas", "int"),
                4: _Field("metrics", "message", _METRIC, repeated=True),
            },
        ),
    },
    ("policy/v1", "Eviction"): {1: _OBJECT_META, 2: _Field("deleteOptions", "message", _DELETE_OPTIONS)},
}


def decode(body: bytes) -> Object:
    """The object in a protobuf envelope. Raises ValueError for a kind that is not listed here, or for broken bytes."""
    if not body.startswith(_MAGIC):
        raise ValueError("not a Kubernetes protobuf envelope")
    envelope = dict(_fields(body[len(_MAGIC) :]))
    type_meta = {number: value.decode() for number, value in _fields(envelope[1])}
    api_version, kind = type_meta.get(1, ""), type_meta.get(2, "")
    message = _MESSAGES.get((api_version, kind))
    if message is None:
        raise ValueError(f"{kind} in {api_version} is not accepted as protobuf here: send JSON (kubectl apply does)")
    return {"apiVersion": api_version, "kind": kind, **_message(envelope.get(2, b""), message)}


def _message(body: bytes, message: Mapping[int, _Field]) -> Object:
    document: Object = {}
    for number, raw in _fields(body):
        field = message.get(number)
        if field is None:
            continue
        value = _value(raw, field)
        if field.kind == "map":
            document.setdefault(field.name, {}).update(value)
        elif field.repeated:
            document.setdefault(field.name, []).append(value)
        elif value != "":
            document[field.name] = value
    return document


def _value(raw: Any, field: _Field) -> Any:
    if field.kind == "int":
        return raw - (1 << 64) if raw >= 1 << 63 else raw
    if field.kind == "map":
        entry = dict(_fields(raw))
        return {entry.get(1, b"").decode(): entry.get(2, b"").decode()}
    if field.message is not None:
        return _message(raw, field.message)
    return raw.decode()


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    """The wire format: (field number, integer or bytes) one after another."""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        match tag & 7:
            case 0:
                value, position = _varint(body, position)
                yield tag >> 3, value
            case 2:
                length, position = _varint(body, position)
                if position + length > len(body):
                    raise ValueError("truncated protobuf message")
                yield tag >> 3, body[position : position + length]
                position += length
            case 1 | 5 as wire:
                position += 8 if wire == 1 else 4
            case wire:
                raise ValueError(f"protobuf wire type {wire} is not in use")


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(body):
            raise ValueError("truncated protobuf integer")
        byte = body[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if not byte & 0x80:
            return value, position
