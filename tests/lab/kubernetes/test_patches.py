"""Patches: RFC 6902, RFC 7386 and strategic merge with the real merge keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.kubernetes.apiserver import schemas
from lab.kubernetes.apiserver.errors import ApiError
from lab.kubernetes.apiserver.patches import json_patch, merge_patch, strategic_merge_patch

DEPLOYMENT = schemas.of_kind("apps", "v1", "Deployment")
SERVICE = schemas.of_kind("", "v1", "Service")


def containers(*listed: dict[str, Any], **directives: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(listed), **directives}}}}


def test_strategic_merge_finds_containers_and_variables_by_name() -> None:
    live = containers(
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}]},
        {"name": "b", "image": "1"},
    )
    patch = containers({"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "Z", "value": "2"}]})
    merged = strategic_merge_patch(live, patch, DEPLOYMENT)
    first, second = merged["spec"]["template"]["spec"]["containers"]
    assert first["image"] == "1"
    assert [(each["name"], each["value"]) for each in first["env"]] == [("X", "1"), ("Y", "2"), ("Z", "2")]
    assert second == {"name": "b", "image": "1"}


def test_strategic_merge_directives() -> None:
    live = containers({"name": "a"}, {"name": "b"}, {"name": "c"})
    deleted = strategic_merge_patch(live, containers({"name": "b", "$patch": "delete"}), DEPLOYMENT)
    assert deleted == containers({"name": "a"}, {"name": "c"})
    replaced = strategic_merge_patch(live, containers({"name": "z"}, {"$patch": "replace"}), DEPLOYMENT)
    assert replaced == containers({"name": "z"})
    order = {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}
    ordered = strategic_merge_patch(live, {"spec": {"template": {"spec": order}}}, DEPLOYMENT)
    assert [each["name"] for each in ordered["spec"]["template"]["spec"]["containers"]] == ["c", "b", "a"]


def test_strategic_merge_retains_keys_and_edits_lists_of_values() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(live, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
    meta = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_merge_patch(meta, {"metadata": {"finalizers": ["c"]}}, DEPLOYMENT)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    dropped = strategic_merge_patch(meta, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, DEPLOYMENT)
    assert dropped["metadata"]["finalizers"] == ["b"]


def test_strategic_merge_takes_ports_by_their_own_key_and_null_for_removal() -> None:
    live = {"spec": {"ports": [{"port": 80, "name": "a"}], "type": "ClusterIP"}}
    patch = {"spec": {"ports": [{"port": 80, "name": "b"}, {"port": 81}], "type": None}}
    merged = strategic_merge_patch(live, patch, SERVICE)
    assert merged == {"spec": {"ports": [{"port": 80, "name": "b"}, {"port": 81}]}}


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_merge_patch(containers({"name": "a"}), containers({"image": "x"}), DEPLOYMENT)


def test_merge_patch_replaces_lists_and_removes_by_null() -> None:
    assert merge_patch({"a": [1, 2], "b": {"c": 1, "d": 2}}, {"a": [3], "b": {"c": None}}) == {"a": [3], "b": {"d": 2}}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/list/1", "value": "x"}, {"list": ["a", "x", "b"], "a/b": 1}),
        ({"op": "add", "path": "/list/-", "value": "x"}, {"list": ["a", "b", "x"], "a/b": 1}),
        ({"op": "replace", "path": "/a~1b", "value": 2}, {"list": ["a", "b"], "a/b": 2}),
        ({"op": "remove", "path": "/list/0"}, {"list": ["b"], "a/b": 1}),
        ({"op": "move", "from": "/list/0", "path": "/first"}, {"list": ["b"], "a/b": 1, "first": "a"}),
        ({"op": "copy", "from": "/list/0", "path": "/first"}, {"list": ["a", "b"], "a/b": 1, "first": "a"}),
        ({"op": "test", "path": "/list/0", "value": "a"}, {"list": ["a", "b"], "a/b": 1}),
        ({"op": "replace", "path": "", "value": {}}, {}),
    ],
)
def test_json_patch(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json_patch({"list": ["a", "b"], "a/b": 1}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "shuffle", "path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_invalid(operation: dict[str, Any]) -> None:
    document = {"a": 1, "list": []}
    with pytest.raises(ApiError) as refused:
        json_patch(document, [{"op": "add", "path": "/b", "value": 1}, operation])
    assert refused.value.code == 422
    assert document == {"a": 1, "list": []}


json_values = st.recursive(
    st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=2), inner), max_leaves=8
)
documents = st.dictionaries(st.text(max_size=2), json_values)


@settings(deadline=None, max_examples=50)
@given(documents, documents)
def test_merging_twice_is_merging_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    assert strategic_merge_patch(document, patch, {}) == once
