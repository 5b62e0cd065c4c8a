"""The REST verbs on resources and their subresources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from lab.kubernetes.apiserver import (
    decoding,
    managed_fields,
    patches,
    resources,
    reviews,
    schemas,
    subresources,
    watching,
)
from lab.kubernetes.apiserver.auth import User
from lab.kubernetes.apiserver.deletion import DeleteOptions
from lab.kubernetes.apiserver.errors import (
    FieldError,
    bad_request,
    invalid,
    method_not_allowed,
    unknown_path,
    unsupported_media_type,
)
from lab.kubernetes.apiserver.fields import check_field_selector
from lab.kubernetes.apiserver.journal import Key
from lab.kubernetes.apiserver.kubelets import Kubelets
from lab.kubernetes.apiserver.managed_fields import Manager
from lab.kubernetes.apiserver.registry import Registry
from lab.kubernetes.apiserver.representation import Representation, json_response, page, to_stored, to_version
from lab.kubernetes.apiserver.request_info import REVIEW_GROUPS, RequestInfo
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object, uid_of
from lab.kubernetes.selectors import FieldSelector, LabelSelector, SelectorError


class Handlers:
    """Serves requests that are authenticated and authorized. Every refusal is an ApiError."""

    def __init__(self, registry: Registry, kubelets: Kubelets) -> None:
        self._registry = registry
        self._kubelets = kubelets

    async def serve(self, request: web.Request, info: RequestInfo, user: User, body: Any) -> web.StreamResponse:
        """Answers one request; `body` is its body as plain data, None without one."""
        resource = resources.find(info.group, info.version, info.resource)
        if resource is None or (info.subresource and info.subresource not in resource.subresources):
            raise unknown_path()
        verbs = resources.subresource(resource, info.subresource).verbs if info.subresource else resource.verbs
        # Collections are listed and added to, objects are changed; a subresource is always one object's.
        misplaced = (
            info.verb in ("update", "patch") if not info.name else info.verb == "create" and not info.subresource
        )
        if info.verb not in verbs or misplaced:
            raise method_not_allowed()
        if resource.group == "metrics.k8s.io":
            return await self._kubelets.metrics(request)
        if resource.group in REVIEW_GROUPS:
            return self._review(resource, user, body)
        if info.subresource in ("log", "binding", "eviction"):
            return await self._act(request, resource, info, body)
        match info.verb:
            case "get":
                return self._get(request, resource, info)
            case "list":
                return self._list(request, resource, info)
            case "watch":
                return await self._watch(request, resource, info)
            case "create":
                return self._create(request, resource, info, body)
            case "update":
                return self._update(request, resource, info, body)
            case "patch":
                return self._patch(request, resource, info, body)
            case "delete":
                return self._delete(request, resource, info, body)
            case _:
                return self._delete_collection(request, resource, info, body)

    def _get(self, request: web.Request, resource: Resource, info: RequestInfo) -> web.Response:
        found = self._registry.get(resource, info.namespace, info.name)
        if info.subresource == "scale":
            return json_response(subresources.scale_of(found))
        return json_response(Representation.of(resource, request).one(found))

    def _selected(self, request: web.Request, resource: Resource, info: RequestInfo) -> list[Object]:
        matches = _selection(request, resource)
        namespace = info.namespace if resource.namespaced else ""
        return [each for each in self._registry.store.list(resource.collection, namespace) if matches(each)]

    def _list(self, request: web.Request, resource: Resource, info: RequestInfo) -> web.Response:
        selected, metadata = page(self._selected(request, resource, info), request.query, self._registry.store.revision)
        return json_response(Representation.of(resource, request).many(selected, metadata))

    async def _watch(self, request: web.Request, resource: Resource, info: RequestInfo) -> web.StreamResponse:
        matches = _selection(request, resource)
        single = watching.named(info.name) if info.name else None
        view = watching.View(
            resource,
            info.namespace if resource.namespaced else "",
            matches if single is None else lambda document: single(document) and matches(document),
            Representation.of(resource, request).one,
        )
        return await watching.stream(request, self._registry.store, view, watching.WatchOptions.of(request.query))

    def _create(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.Response:
        document, warnings = decoding.decode(resource, body, _field_validation(request))
        new, manager = to_stored(resource, document), _manager(request, info)
        created = self._registry.create(resource, info.namespace, new, manager, dry_run=_is_dry_run(request))
        return json_response(Representation.of(resource, request).one(created), 201, _warning_headers(warnings))

    def _update(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.Response:
        old = self._registry.get(resource, info.namespace, info.name)
        return self._write(request, resource, info, old, body)

    def _patch(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.Response:
        if request.content_type not in patches.CONTENT_TYPES:
            raise unsupported_media_type(patches.CONTENT_TYPES)
        if request.content_type == patches.APPLY_PATCH and not info.subresource:
            return self._apply(request, resource, info, body)
        old = self._registry.get(resource, info.namespace, info.name)
        if info.subresource == "scale":
            current, schema = subresources.scale_of(old), schemas.of_kind("autoscaling", "v1", "Scale")
        else:
            current, schema = to_version(resource, old), schemas.of(resource)
        patched = patches.apply(request.content_type, current, body, schema)
        mistyped = schemas.check(patched, schema).mistyped
        if mistyped:
            # What a patch makes of an object is invalid (422), while the same in a whole object is no object (400).
            raise invalid("", "", "", [FieldError("patch", f"Invalid value: {json.dumps(body)}: {mistyped[0]}")])
        return self._write(request, resource, info, old, patched)

    def _write(
        self, request: web.Request, resource: Resource, info: RequestInfo, old: Object, body: Any
    ) -> web.Response:
        manager, dry_run = _manager(request, info), _is_dry_run(request)
        if info.subresource == "scale":
            scaled = self._registry.update(resource, old, subresources.with_scale(old, body), manager, dry_run=dry_run)
            return json_response(subresources.scale_of(scaled))
        document, warnings = decoding.decode(resource, body, _field_validation(request))
        updated = self._registry.update(resource, old, to_stored(resource, document), manager, dry_run=dry_run)
        return json_response(Representation.of(resource, request).one(updated), headers=_warning_headers(warnings))

    def _apply(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.Response:
        if not request.query.get("fieldManager"):
            field = "PatchOptions.meta.k8s.io is invalid: fieldManager"
            raise bad_request(f"{field}: Required value: is required for apply patch")
        if isinstance(body, dict):
            body = {**body, "metadata": {"name": info.name, **(body.get("metadata") or {})}}
        live = self._registry.store.get(_key(resource, info))
        if live is None:
            return self._create(request, resource, info, body)
        document, warnings = decoding.decode(resource, body, _field_validation(request))
        manager, force = _manager(request, info), request.query.get("force") == "true"
        schema = schemas.of(resources.stored(resource.collection))
        merged = managed_fields.apply(live, to_stored(resource, document), manager, schema, force=force)
        updated = self._registry.update(resource, live, merged, manager, dry_run=_is_dry_run(request))
        return json_response(Representation.of(resource, request).one(updated), headers=_warning_headers(warnings))

    def _delete(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.Response:
        found = self._registry.get(resource, info.namespace, info.name)
        deleted = self._registry.deletion.delete(resource, found, _delete_options(request, body))
        if not deleted.gone or resource.plural in ("pods", "services", "namespaces"):
            return json_response(Representation.of(resource, request).one(deleted.document))
        details = {"name": info.name, "group": resource.group, "kind": resource.plural, "uid": uid_of(found)}
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return json_response({**status, "details": {name: value for name, value in details.items() if value}})

    def _delete_collection(
        self, request: web.Request, resource: Resource, info: RequestInfo, body: Any
    ) -> web.Response:
        options = _delete_options(request, body)
        selected = self._selected(request, resource, info)
        for each in selected:
            self._registry.deletion.delete(resource, each, options)
        metadata = {"resourceVersion": str(self._registry.store.revision)}
        return json_response(Representation.of(resource, request).many(selected, metadata))

    async def _act(self, request: web.Request, resource: Resource, info: RequestInfo, body: Any) -> web.StreamResponse:
        pod = self._registry.get(resource, info.namespace, info.name)
        if info.subresource == "log":
            return await self._kubelets.log(request, pod)
        act = subresources.bind if info.subresource == "binding" else subresources.evict
        if not isinstance(body, dict):
            raise bad_request(f"{info.subresource}: a body is required")
        return json_response(act(self._registry, resource, pod, body), 201)

    def _review(self, resource: Resource, user: User, body: Any) -> web.Response:
        review, _ = decoding.decode(resource, body, "Ignore")
        answers = {
            "selfsubjectaccessreviews": reviews.access_review,
            "selfsubjectrulesreviews": reviews.rules_review,
            "selfsubjectreviews": reviews.self_review,
        }
        return json_response(answers[resource.plural](user, review), 201)


def _manager(request: web.Request, info: RequestInfo) -> Manager:
    """Who writes, by `fieldManager` or else by the program's name in the User-Agent."""
    name = request.query.get("fieldManager") or request.headers.get("User-Agent", "").partition("/")[0] or "unknown"
    is_apply = request.method == "PATCH" and request.content_type == patches.APPLY_PATCH
    return Manager(name, "Apply" if is_apply else "Update", info.subresource)


def _key(resource: Resource, info: RequestInfo) -> Key:
    return Key(resource.group, resource.plural, info.namespace if resource.namespaced else "", info.name)


def _selection(request: web.Request, resource: Resource) -> Callable[[Object], bool]:
    try:
        labels = LabelSelector.parse(request.query.get("labelSelector", ""))
        fields = FieldSelector.parse(request.query.get("fieldSelector", ""))
    except SelectorError as error:
        raise bad_request(str(error)) from error
    check_field_selector(resource, fields)
    return lambda document: labels.matches(document) and fields.matches(document)


def _field_validation(request: web.Request) -> str:
    return request.query.get("fieldValidation") or "Warn"


def _warning_headers(warnings: list[str]) -> dict[str, str]:
    quoted = (warning.replace('"', '\\"') for warning in warnings)
    return {"Warning": ", ".join(f'299 - "{warning}"' for warning in quoted)} if warnings else {}


def _is_dry_run(request: web.Request) -> bool:
    dry_run = request.query.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    return bool(dry_run)


def _delete_options(request: web.Request, body: Any) -> DeleteOptions:
    document = dict(body) if isinstance(body, dict) else {}
    for name in ("gracePeriodSeconds", "propagationPolicy", "dryRun"):
        if name in request.query:
            document.setdefault(name, request.query[name])
    try:
        return DeleteOptions.of(document)
    except ValueError as error:
        raise bad_request(f"invalid delete options: {error}") from error
