"""The three kinds of patch: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from lab.kubernetes.apiserver import schemas
from lab.kubernetes.apiserver.errors import ApiError, bad_request
from lab.kubernetes.apiserver.schemas import Schema
from lab.kubernetes.objects import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
CONTENT_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ELEMENT_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_DIRECTIVES = (_DIRECTIVE, _RETAIN_KEYS, _ELEMENT_ORDER, _DELETE_PRIMITIVES)


def apply(content_type: str, document: Object, patch: Any, schema: Schema) -> Object:
    """The patched document; `document` itself is left alone. Raises ApiError (400, 422) for an unfit patch."""
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise bad_request(
                "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
            )
        return json_patch(document, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    if content_type == MERGE_PATCH:
        merged: Object = merge_patch(document, patch)
        return merged
    return strategic_merge_patch(document, patch, schema)


def merge_patch(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_merge_patch(target: Object, patch: Object, schema: Schema) -> Object:
    """Merges maps field by field and lists by the merge key that the schema gives."""
    match patch.get(_DIRECTIVE):
        case "replace":
            return copy.deepcopy({name: value for name, value in patch.items() if name != _DIRECTIVE})
        case "delete":
            return {}
    result = dict(target)
    if _RETAIN_KEYS in patch:
        result = {name: value for name, value in result.items() if name in patch[_RETAIN_KEYS]}
    for name, value in patch.items():
        if name.startswith(_DELETE_PRIMITIVES):
            field = name.removeprefix(_DELETE_PRIMITIVES)
            result[field] = [item for item in result.get(field) or [] if item not in value]
    for name, value in patch.items():
        if name.startswith(_DIRECTIVES):
            continue
        if value is None:
            result.pop(name, None)
            continue
        field_schema = schemas.property_of(schema, name) or {}
        result[name] = _merge_value(result.get(name), value, field_schema, patch.get(_ELEMENT_ORDER + name))
    for name, order in patch.items():
        field = name.removeprefix(_ELEMENT_ORDER)
        if name.startswith(_ELEMENT_ORDER) and field not in patch and isinstance(result.get(field), list):
            result[field] = _ordered(
                result[field], order, schemas.list_merge(schemas.property_of(schema, field) or {}).key
            )
    return result


def _merge_value(current: Any, value: Any, schema: Schema, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        if schemas.replaces_map(schema):
            return copy.deepcopy(value)
        return strategic_merge_patch(current if isinstance(current, dict) else {}, value, schema)
    if not isinstance(value, list):
        return value
    merge = schemas.list_merge(schema)
    if not merge.merged:
        return copy.deepcopy(value)
    items = list(current or [])
    if merge.key is None:
        items += [item for item in value if item not in items]
    else:
        items = _merge_keyed(items, value, merge.key, schemas.resolve(schema).get("items", {}))
    return _ordered(items, order, merge.key) if order else items


def _merge_keyed(items: list[Any], patch: list[Any], key: str, schema: Schema) -> list[Any]:
    if any(element.get(_DIRECTIVE) == "replace" for element in patch):
        items, patch = [], [element for element in patch if element.get(_DIRECTIVE) != "replace"]
    for element in patch:
        if key not in element:
            raise bad_request(f"map: {element} does not contain declared merge key: {key}")
        position = next((index for index, item in enumerate(items) if item.get(key) == element[key]), None)
        if element.get(_DIRECTIVE) == "delete":
            items = [item for item in items if item.get(key) != element[key]]
        elif position is None:
            items.append(strategic_merge_patch({}, element, schema))
        else:
            items[position] = strategic_merge_patch(items[position], element, schema)
    return items


def _ordered(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """Items named in `order` come in that order; the others keep their place after the item they followed."""
    wanted = [element[key] if key else element for element in order]

    def identity(item: Any) -> Any:
        return item.get(key) if key else item

    listed = iter(
        sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    )
    return [next(listed) if identity(item) in wanted else item for item in items]


def json_patch(document: Object, operations: list[Object]) -> Object:
    """Applies RFC 6902 operations in order. Raises ApiError 422 when one of them does not fit the document."""
    holder = {"": copy.deepcopy(document)}
    for operation in operations:
        try:
            _operate(holder, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            failed = f"{operation.get('op')} {operation.get('path')!r}: {error}"
            message = f"the server rejected our request due to an error in our request: {failed}"
            raise ApiError(422, "Invalid", message) from error
    return holder[""]


def _operate(holder: Object, operation: Object) -> None:
    parent, last = _locate(holder, operation["path"])
    match operation["op"]:
        case "add":
            _insert(parent, last, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(parent, last)
        case "replace":
            _remove(parent, last)
            _insert(parent, last, copy.deepcopy(operation["value"]))
        case "test":
            if _read(parent, last) != operation["value"]:
                raise ValueError("test failed")
        case "copy" | "move":
            source, source_last = _locate(holder, operation["from"])
            value = copy.deepcopy(_read(source, source_last))
            if operation["op"] == "move":
                _remove(source, source_last)
            _insert(parent, last, value)
        case unknown:
            raise ValueError(f"unexpected kind: {unknown}")


def _locate(holder: Object, pointer: str) -> tuple[Any, str]:
    """The container of what a JSON pointer names, and the last step. The holder's key '' is the document itself."""
    path = ["", *(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])]
    container: Any = holder
    for step in path[:-1]:
        container = _read(container, step)
    return container, path[-1]


def _read(container: Any, step: str) -> Any:
    return container[int(step)] if isinstance(container, list) else container[step]


def _insert(container: Any, step: str, value: Any) -> None:
    if not isinstance(container, list):
        container[step] = value
    elif step == "-":
        container.append(value)
    elif 0 <= int(step) <= len(container):
        container.insert(int(step), value)
    else:
        raise IndexError(f"index {step} is out of bounds")


def _remove(container: Any, step: str) -> None:
    del container[int(step) if isinstance(container, list) else step]
