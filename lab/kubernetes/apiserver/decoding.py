"""From a request's body to a document of a known kind: parsing, types, unknown fields."""

from __future__ import annotations

import json
from typing import Any

import yaml

from lab.kubernetes.apiserver import protobuf, schemas
from lab.kubernetes.apiserver.errors import bad_request, unsupported_media_type
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)


def parse(body: bytes, content_type: str) -> Any:
    """The body as plain data. Raises ApiError (400, 415)."""
    try:
        if "yaml" in content_type:
            return yaml.safe_load(body)
        if content_type in (JSON, "", "application/octet-stream") or content_type.endswith("+json"):
            return json.loads(body)
        if content_type == PROTOBUF:
            return protobuf.decode(body)
    except (ValueError, yaml.YAMLError) as error:
        unrecognized = "the object provided is unrecognized (must be of type Object)"
        raise bad_request(f"{unrecognized}: couldn't get version/kind; json parse error: {error}") from error
    raise unsupported_media_type(ACCEPTED)


def decode(resource: Resource, document: Any, field_validation: str) -> tuple[Object, list[str]]:
    """The document as one of `resource`'s kind, with warnings about fields that it does not have.

    `field_validation` is Strict (unknown fields are refused), Warn or Ignore. Raises ApiError 400.
    """
    return decode_kind(resource.group, resource.version, resource.kind, document, field_validation)


def decode_kind(group: str, version: str, kind: str, document: Any, field_validation: str) -> tuple[Object, list[str]]:
    """The same for a kind that is not a resource of its own, such as Scale or Eviction."""
    group_version = f"{group}/{version}" if group else version
    if not isinstance(document, dict):
        raise bad_request(f"{kind} in version {version!r} cannot be handled as a {kind}: expected an object")
    given = (document.get("apiVersion", group_version), document.get("kind", kind))
    if given != (group_version, kind):
        mismatch = f"the API version in the data ({given[0]}) does not match the expected API version ({group_version})"
        raise bad_request(f'{given[1]} in version "{given[0]}" cannot be handled as a {kind}: {mismatch}')
    document = _without_nulls({**document, "apiVersion": group_version, "kind": kind})
    document.setdefault("metadata", {})
    mismatches = schemas.check(document, schemas.of_kind(group, version, kind))
    if mismatches.mistyped:
        shown = "; ".join(mismatches.mistyped)
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: json: {shown}')
    warnings = [f'unknown field "{field}"' for field in mismatches.unknown]
    if warnings and field_validation == "Strict":
        message = (
            f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {", ".join(warnings)}'
        )
        raise bad_request(message)
    return _known(document, schemas.of_kind(group, version, kind)), warnings if field_validation == "Warn" else []


def _without_nulls(value: Any) -> Any:
    """Go's decoder takes null for absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(child) for name, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _known(value: Any, schema: schemas.Schema) -> Any:
    """Fields that the schema does not have are dropped, as a typed server drops them."""
    schema = schemas.resolve(schema)
    if isinstance(value, dict):
        pairs = ((name, child, schemas.property_of(schema, name)) for name, child in value.items())
        return {name: _known(child, child_schema) for name, child, child_schema in pairs if child_schema is not None}
    if isinstance(value, list):
        return [_known(item, schema.get("items", {})) for item in value]
    return value
