"""Who set which field (`metadata.managedFields`), and server-side apply, which rests on it.

A field is a path of `fieldsV1` steps: `f:spec`, `k:{"name":"c"}` for an item of a keyed list, `v:"x"` for one of a set.
Ownership is kept in the version that the store keeps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import patches, schemas
from lab.kubernetes.apiserver.errors import ApiError
from lab.kubernetes.apiserver.schemas import Schema
from lab.kubernetes.objects import Object

Path = tuple[str, ...]
_ITEM = "."
_UNOWNED = frozenset(
    {
        (),
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        ("f:metadata", "f:name"),
        ("f:metadata", "f:namespace"),
        ("f:metadata", "f:uid"),
        ("f:metadata", "f:resourceVersion"),
        ("f:metadata", "f:generation"),
        ("f:metadata", "f:creationTimestamp"),
        ("f:metadata", "f:deletionTimestamp"),
        ("f:metadata", "f:deletionGracePeriodSeconds"),
        ("f:metadata", "f:selfLink"),
        ("f:metadata", "f:managedFields"),
    }
)


@dataclass(frozen=True)
class Manager:
    """Who writes: a program's name and its way of writing, which is Update or Apply."""

    name: str
    operation: str = "Update"
    subresource: str = ""


def after_update(old: Object, new: Object, manager: Manager, schema: Schema) -> list[Object]:
    """The entries after a write: what it changed is the writer's, what it removed is nobody's."""
    before, after = fields(old, schema), fields(new, schema)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    owners = _owners(old)
    owned = {each: (paths if each == manager else paths - changed) & after.keys() for each, paths in owners.items()}
    owned[manager] = owned.get(manager, set()) | changed
    return _entries(old, owned)


def apply(live: Object, applied: Object, manager: Manager, schema: Schema, *, force: bool) -> Object:
    """The live object with the applied configuration, its entries included.

    Fields that the manager applied before and now leaves out are removed unless somebody else set them too. Raises
    ApiError 409 when the configuration differs from what others have set, except by `force`.
    """
    merged = patches.strategic_merge_patch(live, applied, schema)
    wanted, before, after = fields(applied, schema), fields(live, schema), fields(merged, schema)
    owners = _owners(live)
    others = {each: paths for each, paths in owners.items() if each != manager}
    disputed = {
        each: {path for path in paths if path in wanted and before.get(path) != after.get(path)}
        for each, paths in others.items()
    }
    if any(disputed.values()) and not force:
        raise _conflict(live, disputed)
    kept = {path for paths in others.values() for path in paths}
    for path in owners.get(manager, set()) - wanted.keys() - kept:
        merged = _without(merged, path)
    owned = {each: paths - disputed[each] for each, paths in others.items()} | {manager: set(wanted)}
    return {**merged, "metadata": {**merged["metadata"], "managedFields": _entries(live, owned)}}


def fields(document: Object, schema: Schema) -> dict[Path, Any]:
    """Every field of an object that somebody can own, with its value."""
    found: dict[Path, Any] = {}
    _collect(document, schema, (), found)
    return {path: value for path, value in found.items() if path not in _UNOWNED and path[:2] not in _UNOWNED}


def _collect(value: Any, schema: Schema, path: Path, found: dict[Path, Any]) -> None:
    schema = schemas.resolve(schema)
    if isinstance(value, dict) and value and schema.get("x-kubernetes-map-type") != "atomic":
        for name, child in value.items():
            _collect(child, schemas.property_of(schema, name) or {}, (*path, f"f:{name}"), found)
    elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "map":
        for item in value:
            step = _key_step(item, schema["x-kubernetes-list-map-keys"])
            found[(*path, step, _ITEM)] = True
            _collect(item, schema["items"], (*path, step), found)
    elif isinstance(value, list) and schema.get("x-kubernetes-list-type") == "set":
        for item in value:
            found[(*path, f"v:{json.dumps(item)}")] = True
    else:
        found[path] = value


def _key_step(item: Object, keys: list[str]) -> str:
    # A port's protocol is a key with a default: left out, it still identifies.
    values = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    return "k:" + json.dumps({key: value for key, value in values.items() if value is not None}, separators=(",", ":"))


def _without(document: Any, path: Path) -> Any:
    """The document without one field; the item of a keyed list goes with its `.`."""
    step, rest = path[0], path[1:]
    if isinstance(document, dict):
        name = step.removeprefix("f:")
        if name not in document:
            return document
        if not rest:
            return {key: value for key, value in document.items() if key != name}
        return {**document, name: _without(document[name], rest)}
    if not isinstance(document, list):
        return document
    if step.startswith("v:"):
        return [item for item in document if json.dumps(item) != step[2:]]
    identity = json.loads(step[2:]).items()
    found = [item for item in document if all(item.get(key, value) == value for key, value in identity)]
    if rest == (_ITEM,):
        return [item for item in document if item not in found]
    return [_without(item, rest) if item in found else item for item in document]


def _owners(document: Object) -> dict[Manager, set[Path]]:
    found: dict[Manager, set[Path]] = {}
    for entry in document["metadata"].get("managedFields") or ():
        found[_manager_of(entry)] = set(_paths(entry["fieldsV1"], ()))
    return found


def _entries(document: Object, owned: Mapping[Manager, set[Path]]) -> list[Object]:
    """`managedFields`; an entry keeps its time for as long as it says the same."""
    before = _owners(document)
    times = {_manager_of(entry): entry["time"] for entry in document["metadata"].get("managedFields") or ()}
    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": document["apiVersion"],
            "time": times[manager] if before.get(manager) == paths else timestamps.seconds(),
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(paths),
            **({"subresource": manager.subresource} if manager.subresource else {}),
        }
        for manager, paths in owned.items()
        if paths
    ]


def _manager_of(entry: Object) -> Manager:
    return Manager(entry["manager"], entry["operation"], entry.get("subresource", ""))


def _tree(paths: Iterable[Path]) -> Object:
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def _paths(tree: Object, prefix: Path) -> Iterable[Path]:
    for step, below in tree.items():
        if below:
            yield from _paths(below, (*prefix, step))
        else:
            yield (*prefix, step)


def _conflict(live: Object, disputed: Mapping[Manager, set[Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager.name}" using {live["apiVersion"]}',
            "field": _readable(path),
        }
        for manager, paths in disputed.items()
        for path in sorted(paths)
    ]
    listed = "\n".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    plural = "conflict" if len(causes) == 1 else "conflicts"
    message = f"Apply failed with {len(causes)} {plural}: {listed}"
    return ApiError(409, "Conflict", message, {"causes": causes})


def _readable(path: Path) -> str:
    """`.spec.template.spec.containers[name="c"].image`."""
    shown = ""
    for step in path:
        if step.startswith("f:"):
            shown += f".{step[2:]}"
        elif step.startswith("k:"):
            pairs = (f"{key}={json.dumps(value)}" for key, value in json.loads(step[2:]).items())
            shown += f"[{','.join(pairs)}]"
        elif step.startswith("v:"):
            shown += f"[={step[2:]}]"
    return shown
