"""Whose objects are whose: a controller adopts what its selector matches, and releases what it matches no more.

Releasing is how a person takes a sick pod aside: a changed label, and the ReplicaSet starts another one.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kubernetes.client import ApiClient, Collection
from lab.kubernetes.informer import Informer
from lab.kubernetes.objects import Object, controller_of, controller_reference, is_controlled_by, is_deleting, uid_of
from lab.kubernetes.selectors import LabelSelector


async def claim(
    client: ApiClient, collection: Collection, informer: Informer, owner: Object, candidates: Iterable[Object]
) -> list[Object]:
    """The candidates that are `owner`'s, after adoption and release. Raises the client's errors."""
    selector = LabelSelector.of(owner["spec"]["selector"])
    owned = []
    for document in list(candidates):
        matches = selector.matches(document)
        if is_controlled_by(document, owner):
            if matches:
                owned.append(document)
            elif not is_deleting(document):
                others = [each for each in document["metadata"]["ownerReferences"] if each["uid"] != uid_of(owner)]
                await _own(client, collection, informer, document, others)
        elif matches and controller_of(document) is None and not is_deleting(document) and not is_deleting(owner):
            references = [*(document["metadata"].get("ownerReferences") or ()), controller_reference(owner)]
            owned.append(await _own(client, collection, informer, document, references))
    return owned


async def _own(
    client: ApiClient, collection: Collection, informer: Informer, document: Object, references: list[Object]
) -> Object:
    precondition = {name: document["metadata"][name] for name in ("uid", "resourceVersion")}
    changes = {"metadata": {**precondition, "ownerReferences": references}}
    updated = await client.patch(collection.path_of(document), changes)
    informer.observe(updated)
    return updated
