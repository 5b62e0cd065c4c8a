"""Deletion: preconditions, grace, finalizers, what belongs to the deleted object, and namespaces with their content."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import resources
from lab.kubernetes.apiserver.errors import conflict
from lab.kubernetes.apiserver.journal import Key
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.apiserver.store import Store
from lab.kubernetes.objects import Object, is_deleting, name_of, namespace_of, uid_of

_FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True)
class DeleteOptions:
    """`meta/v1 DeleteOptions`. `propagation` is Background, Foreground or Orphan; the grace is in seconds."""

    grace: int | None = None
    propagation: str = "Background"
    preconditions: Object = field(default_factory=dict)
    dry_run: bool = False

    @classmethod
    def of(cls, document: Object) -> DeleteOptions:
        grace: Any = document.get("gracePeriodSeconds")
        propagation = document.get("propagationPolicy") or (
            "Orphan" if document.get("orphanDependents") else "Background"
        )
        return cls(
            None if grace is None else int(grace),
            propagation,
            document.get("preconditions") or {},
            bool(document.get("dryRun")),
        )


@dataclass(frozen=True)
class Deleted:
    """The last known state; `gone` when the object does not exist any more."""

    document: Object
    gone: bool


class Deletion:
    """The only way in which objects leave the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete(self, resource: Resource, document: Object, options: DeleteOptions) -> Deleted:
        """Deletes, or marks as deleted what has grace or finalizers. Raises ApiError 409 on a failed precondition."""
        self._check(resource, document, options.preconditions)
        if options.dry_run:
            return Deleted(document, gone=True)
        key = key_of(resource, document)
        if resource.plural == "namespaces":
            return self._delete_namespace(key, document)
        if options.propagation == "Orphan":
            self._release_dependents(uid_of(document))
        elif options.propagation == "Foreground" and self._dependents(uid_of(document)):
            document = _with_finalizer(document)
        grace = _grace(resource, document, options)
        if grace > 0 or document["metadata"].get("finalizers"):
            document = self._mark(key, document, grace)
            if _FOREGROUND in document["metadata"].get("finalizers", ()):
                self._delete_dependents(uid_of(document))
            present = self._store.get(key)
            return Deleted(present or document, gone=present is None)
        return Deleted(self.remove(key), gone=True)

    def remove(self, key: Key) -> Object:
        """Takes an object out of the store at once, and sees to what depended on it."""
        removed = self._store.remove(key)
        self._delete_dependents(uid_of(removed))
        self._finish_waiting_owners(removed)
        self._finish_namespace(key.namespace)
        return removed

    def is_orphan(self, document: Object) -> bool:
        """It names owners and none of them exists (any more)."""
        references = document["metadata"].get("ownerReferences") or []
        return bool(references) and not any(self._exists(reference["uid"]) for reference in references)

    def _check(self, resource: Resource, document: Object, preconditions: Object) -> None:
        for name, shown, past in (
            ("uid", "UID", "deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "modified"),
        ):
            wanted, actual = preconditions.get(name), document["metadata"][name]
            if wanted and wanted != actual:
                mismatch = f"the {shown} in the precondition ({wanted}) does not match the {shown} in record ({actual})"
                why = f"{mismatch}. The object might have been {past}"
                raise conflict(resource, name_of(document), why)

    def _mark(self, key: Key, document: Object, grace: int) -> Object:
        """Sets the time at which the object must be gone; a later request may only bring it nearer."""
        metadata = document["metadata"]
        if is_deleting(document) and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return document
        gone_by = timestamps.seconds(datetime.now(UTC) + timedelta(seconds=grace))
        marked = {**metadata, "deletionTimestamp": gone_by, "deletionGracePeriodSeconds": grace}
        if "generation" in metadata and not is_deleting(document):
            marked["generation"] = metadata["generation"] + 1
        return self._store.put(key, {**document, "metadata": marked})

    def _exists(self, uid: str) -> bool:
        return any(uid_of(document) == uid for _, document in self._store.everything())

    def _dependents(self, uid: str) -> list[tuple[Key, Object]]:
        return [
            (key, document)
            for key, document in self._store.everything()
            if any(reference["uid"] == uid for reference in document["metadata"].get("ownerReferences") or ())
        ]

    def _delete_dependents(self, uid: str) -> None:
        for key, document in self._dependents(uid):
            others = [
                each
                for each in document["metadata"]["ownerReferences"]
                if each["uid"] != uid and self._exists(each["uid"])
            ]
            if others:
                self._store.put(key, {**document, "metadata": {**document["metadata"], "ownerReferences": others}})
            elif not is_deleting(document):
                self.delete(resources.stored((key.group, key.plural)), document, DeleteOptions())

    def _release_dependents(self, uid: str) -> None:
        for key, document in self._dependents(uid):
            others = [each for each in document["metadata"]["ownerReferences"] if each["uid"] != uid]
            metadata = {name: value for name, value in document["metadata"].items() if name != "ownerReferences"}
            self._store.put(
                key, {**document, "metadata": {**metadata, **({"ownerReferences": others} if others else {})}}
            )

    def _finish_waiting_owners(self, removed: Object) -> None:
        """Foreground deletion: an owner goes after the last of its dependents."""
        for reference in removed["metadata"].get("ownerReferences") or ():
            for key, owner in self._store.everything():
                finalizers = owner["metadata"].get("finalizers") or []
                if (
                    uid_of(owner) == reference["uid"]
                    and _FOREGROUND in finalizers
                    and not self._dependents(uid_of(owner))
                ):
                    left = [each for each in finalizers if each != _FOREGROUND]
                    self._store.put(key, {**owner, "metadata": {**owner["metadata"], "finalizers": left}})
                    if not left:
                        self.remove(key)

    def _delete_namespace(self, key: Key, document: Object) -> Deleted:
        if not is_deleting(document):
            marked = {**document["metadata"], "deletionTimestamp": timestamps.seconds()}
            status = {**document["status"], "phase": "Terminating"}
            document = self._store.put(key, {**document, "metadata": marked, "status": status})
        for content_key, content in list(self._store.everything()):
            if (
                content_key.namespace == key.name
                and self._store.get(content_key) is not None
                and not is_deleting(content)
            ):
                self.delete(resources.stored((content_key.group, content_key.plural)), content, DeleteOptions())
        self._finish_namespace(key.name)
        return Deleted(document, gone=self._store.get(key) is None)

    def _finish_namespace(self, name: str) -> None:
        key = Key("", "namespaces", "", name)
        namespace = self._store.get(key)
        if namespace is None or not is_deleting(namespace):
            return
        if not any(content_key.namespace == name for content_key, _ in self._store.everything()):
            self._store.remove(key)


def key_of(resource: Resource, document: Object) -> Key:
    return Key(
        resource.group, resource.plural, namespace_of(document) if resource.namespaced else "", name_of(document)
    )


def _grace(resource: Resource, document: Object, options: DeleteOptions) -> int:
    """Only pods have grace, and only those that a kubelet has to stop."""
    finished = document.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if resource.plural != "pods" or finished or not document["spec"].get("nodeName"):
        return 0
    default = document["spec"].get("terminationGracePeriodSeconds", 30)
    return max(0, int(default if options.grace is None else options.grace))


def _with_finalizer(document: Object) -> Object:
    finalizers = document["metadata"].get("finalizers") or []
    if _FOREGROUND in finalizers:
        return document
    return {**document, "metadata": {**document["metadata"], "finalizers": [*finalizers, _FOREGROUND]}}
