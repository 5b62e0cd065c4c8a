"""What happens to an object between request and store: identity, defaults, validation, concurrency, generation."""

from __future__ import annotations

import copy
import secrets
import uuid

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import defaults, managed_fields, schemas, validation
from lab.kubernetes.apiserver.deletion import Deletion, key_of
from lab.kubernetes.apiserver.errors import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from lab.kubernetes.apiserver.journal import Key
from lab.kubernetes.apiserver.managed_fields import Manager
from lab.kubernetes.apiserver.resources import RESOURCES, Resource, stored
from lab.kubernetes.apiserver.schemas import Schema
from lab.kubernetes.apiserver.store import Store
from lab.kubernetes.objects import Object, is_deleting, name_of, namespace_of

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
_NAMESPACES = next(resource for resource in RESOURCES if resource.plural == "namespaces")


class Registry:
    """Reads and writes of objects in their stored version. Every method raises ApiError for what it refuses."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.deletion = Deletion(store)

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.store.get(Key(resource.group, resource.plural, namespace if resource.namespaced else "", name))
        if found is None:
            raise not_found(resource, name)
        return found

    def create(
        self, resource: Resource, namespace: str, document: Object, manager: Manager, *, dry_run: bool = False
    ) -> Object:
        """Stores a new object; what the manager has set is what it sent, for Update with the defaults of the rest."""
        sent = document
        document = copy.deepcopy(document)
        metadata = document["metadata"]
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        for name in (*_SERVER_OWNED, "resourceVersion"):
            metadata.pop(name, None)
        if resource.namespaced:
            self._place(resource, namespace, document)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))
        if "status" in resource.subresources and resource.kind not in ("Node",):
            document.pop("status", None)
        _fill(resource, document)
        _validate(resource, document, None)
        key = key_of(resource, document)
        if self.store.get(key) is not None:
            raise already_exists(resource, name_of(document))
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=timestamps.seconds())
        if resource.has_generation:
            metadata["generation"] = 1
        self._allocate_address(resource, document)
        nothing: Object = {"apiVersion": document["apiVersion"], "metadata": {}}
        set_by_manager = document if manager.operation == "Update" else sent
        metadata["managedFields"] = managed_fields.after_update(nothing, set_by_manager, manager, _schema(resource))
        if dry_run:
            return document
        created = self.store.put(key, document)
        if self.deletion.is_orphan(created):
            self.deletion.remove(key)
        return created

    def update(
        self, resource: Resource, old: Object, new: Object, manager: Manager, *, dry_run: bool = False
    ) -> Object:
        """Stores `new` in the place of `old`. A change of nothing is no write.

        With the manager's subresource `status`, only the status is written. Server-side apply brings the entries of
        managedFields in `new`; otherwise they follow from the difference.
        """
        only_status = manager.subresource == "status"
        self._check_identity(resource, old, new)
        new = {**old, "status": new.get("status", {})} if only_status else _with_status_of(resource, old, new)
        new = copy.deepcopy(new)
        for name in (*_SERVER_OWNED, "namespace", "resourceVersion"):
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
            else:
                new["metadata"].pop(name, None)
        _fill(resource, new)
        if not only_status:
            _keep_allocated_address(resource, old, new)
            _validate(resource, new, old)
            if resource.has_generation and new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if manager.operation == "Update":
            new["metadata"]["managedFields"] = managed_fields.after_update(old, new, manager, _schema(resource))
        if new == old or dry_run:
            return new
        key = key_of(resource, new)
        updated = self.store.put(key, new)
        if is_deleting(updated) and not updated["metadata"].get("finalizers") and resource.plural != "pods":
            return self.deletion.remove(key)
        return updated

    def _place(self, resource: Resource, namespace: str, document: Object) -> None:
        given = document["metadata"].setdefault("namespace", namespace)
        if given != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        home = self.get(_NAMESPACES, "", namespace)
        if is_deleting(home):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource, document["metadata"].get("name", ""), why)

    def _check_identity(self, resource: Resource, old: Object, new: Object) -> None:
        name = name_of(old)
        if new["metadata"].get("name", name) != name:
            raise bad_request(f"the name of the object ({name_of(new)}) does not match the name on the URL ({name})")
        if new["metadata"].get("namespace", namespace_of(old)) != namespace_of(old):
            asked = f"does not match the namespace on the request ({namespace_of(old)})"
            raise bad_request(f"the namespace of the object ({namespace_of(new)}) {asked}")
        revision = new["metadata"].get("resourceVersion")
        if revision and revision != old["metadata"]["resourceVersion"]:
            raise conflict(resource, name)
        uid, actual = new["metadata"].get("uid"), old["metadata"]["uid"]
        if uid and uid != actual:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}"
            raise conflict(resource, name, why)

    def _allocate_address(self, resource: Resource, document: Object) -> None:
        """Services get a cluster address. Nothing routes it: the lab's programs find each other by other means."""
        if resource.plural != "services" or document["spec"].get("type") == "ExternalName":
            return
        taken = {service["spec"].get("clusterIP") for service in self.store.list(resource.collection)}
        address = document["spec"].get("clusterIP") or next(
            candidate
            for candidate in (f"10.96.{high}.{low}" for high in range(256) for low in range(1, 255))
            if candidate not in taken
        )
        document["spec"].update(clusterIP=address, clusterIPs=[address])


def _schema(resource: Resource) -> Schema:
    return schemas.of(stored(resource.collection))


def _fill(resource: Resource, document: Object) -> None:
    if resource.has_generation or resource.kind in ("Pod", "HorizontalPodAutoscaler"):
        document.setdefault("spec", {})
    try:
        defaults.apply(resource.kind, document)
    except ValueError as error:
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        ) from error


def _validate(resource: Resource, document: Object, old: Object | None) -> None:
    errors = validation.errors(resource.kind, document, old)
    if errors:
        raise invalid(resource.group, resource.kind, document["metadata"].get("name", ""), errors)


def _with_status_of(resource: Resource, old: Object, new: Object) -> Object:
    """Where status is a subresource, a write of the object itself leaves it alone."""
    if "status" not in resource.subresources:
        return new
    new = {name: value for name, value in new.items() if name != "status"}
    return {**new, **({"status": old["status"]} if "status" in old else {})}


def _keep_allocated_address(resource: Resource, old: Object, new: Object) -> None:
    if resource.plural == "services":
        for name in ("clusterIP", "clusterIPs"):
            if name in old["spec"]:
                new["spec"].setdefault(name, old["spec"][name])
