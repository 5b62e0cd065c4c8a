"""`/openapi/v3`: the documents by which kubectl validates and explains."""

from __future__ import annotations

from functools import cache
from typing import Any

from lab.kubernetes.apiserver import schemas
from lab.kubernetes.apiserver.discovery import VERSION
from lab.kubernetes.apiserver.resources import RESOURCES, Resource, groups
from lab.kubernetes.objects import Object

_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force")
_REFERENCE = "#/components/schemas/"


def index() -> Object:
    """`/openapi/v3`: one document for each group version."""
    paths = [_path(group, version) for group, versions in groups().items() for version in versions]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={VERSION}"} for path in paths}}


@cache
def document(path: str) -> Object | None:
    """`/openapi/v3/PATH`, for example `apis/apps/v1`; None for an unknown group version."""
    served = [each for each in RESOURCES if _path(each.group, each.version) == path]
    if not served:
        return None
    needed: set[str] = set()
    for resource in served:
        name = schemas.name_of_kind(resource.group, resource.version, resource.kind)
        if name:
            _collect(name, needed)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": {_item_path(path, resource): _operations(resource) for resource in served},
        "components": {"schemas": {name: _version_3(schemas.definitions()[name]) for name in sorted(needed)}},
    }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _item_path(path: str, resource: Resource) -> str:
    scope = "namespaces/{namespace}/" if resource.namespaced else ""
    return f"/{path}/{scope}{resource.plural}/{{name}}"


def _operations(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _QUERY]
    patch = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind, "parameters": parameters}
    return {"patch": {**patch, "responses": {"200": {"description": "OK"}}}, "parameters": []}


def _collect(name: str, needed: set[str]) -> None:
    if name not in needed:
        needed.add(name)
        for reference in _references(schemas.definitions()[name]):
            _collect(reference.rpartition("/")[2], needed)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for item in schema for found in _references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [found for child in schema.values() for found in _references(child)]


def _version_3(schema: Any) -> Any:
    """JSON schema to OpenAPI 3.0: one type instead of several, and references to components."""
    if isinstance(schema, list):
        return [_version_3(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {}
    for name, value in schema.items():
        if name == "$ref" and isinstance(value, str):
            converted[name] = _REFERENCE + value.rpartition("/")[2]
        elif name == "type" and isinstance(value, list):
            converted[name] = next((kind for kind in value if kind != "null"), "string")
        else:
            converted[name] = _version_3(value)
    return converted
