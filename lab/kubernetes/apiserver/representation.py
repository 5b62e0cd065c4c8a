"""In which form objects leave the server: the version asked for, and the object itself, a Table row or its metadata."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from lab.kubernetes.apiserver import autoscaling, tables
from lab.kubernetes.apiserver.errors import bad_request
from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object


def to_version(resource: Resource, stored: Object) -> Object:
    """A stored object in the version of `resource`."""
    return autoscaling.to_v1(stored) if resource.stored_as else stored


def to_stored(resource: Resource, document: Object) -> Object:
    """An object in the version of `resource` as the store keeps it."""
    return autoscaling.from_v1(document) if resource.stored_as else document


def json_response(document: Object, code: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = json.dumps(document, separators=(",", ":")).encode()
    return web.Response(body=body, status=code, content_type="application/json", headers=headers)


@dataclass(frozen=True)
class Representation:
    """What the Accept header asks for: `form` is Table, PartialObjectMetadata or empty for the object itself."""

    resource: Resource
    form: str
    include: str

    @classmethod
    def of(cls, resource: Resource, request: web.Request) -> Representation:
        accept = request.headers.get("Accept", "")
        form = next((each for each in ("Table", "PartialObjectMetadata") if f"as={each}" in accept), "")
        return cls(resource, form, request.query.get("includeObject", "Metadata"))

    def one(self, stored: Object) -> Object:
        document = to_version(self.resource, stored)
        if self.form == "Table":
            revision = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
            return tables.table(self.resource, [document], self.include, revision)
        return tables.partial_metadata(document) if self.form else document

    def many(self, stored: list[Object], metadata: Object) -> Object:
        documents = [to_version(self.resource, each) for each in stored]
        if self.form == "Table":
            return tables.table(self.resource, documents, self.include, metadata)
        if self.form:
            items = [tables.partial_metadata(each) for each in documents]
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items,
            }
        kind = f"{self.resource.kind}List"
        return {"kind": kind, "apiVersion": self.resource.group_version, "metadata": metadata, "items": documents}


def page(stored: list[Object], query: Mapping[str, str], revision: int) -> tuple[list[Object], Object]:
    """The part of a list that `limit` and `continue` ask for, with the list's metadata. Raises ApiError 400."""
    try:
        start = int(json.loads(base64.urlsafe_b64decode(query["continue"]))["start"]) if query.get("continue") else 0
        limit = int(query.get("limit") or 0)
    except (binascii.Error, ValueError, KeyError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    end = start + limit if limit else len(stored)
    metadata: Object = {"resourceVersion": str(revision)}
    if end < len(stored):
        metadata["continue"] = base64.urlsafe_b64encode(json.dumps({"start": end}).encode()).decode()
        metadata["remainingItemCount"] = len(stored) - end
    return stored[start:end], metadata
