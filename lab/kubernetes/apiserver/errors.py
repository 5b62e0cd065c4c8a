"""Refusals, in the words and codes of the real API server (`k8s.io/apimachinery/pkg/api/errors`)."""

from __future__ import annotations

from dataclasses import dataclass

from lab.kubernetes.apiserver.resources import Resource
from lab.kubernetes.objects import Object


class ApiError(Exception):
    """A request that ends with a `Status` object instead of its result."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Object:
        """The `Status` document that the client receives."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


@dataclass(frozen=True)
class FieldError:
    """One invalid field; `reason` is a cause type such as FieldValueInvalid or FieldValueRequired."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def cause(self) -> Object:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def _details(resource: Resource, name: str) -> Object:
    return {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def already_exists(resource: Resource, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str | None = None) -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def invalid(group: str, kind: str, name: str, errors: list[FieldError]) -> ApiError:
    """422, with one cause for each field."""
    listed = [f"{error.field}: {error.message}" for error in errors]
    shown = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    details = {"name": name, "group": group, "kind": kind, "causes": [error.cause() for error in errors]}
    qualified = f"{kind}.{group}" if group else kind
    return ApiError(
        422, "Invalid", f'{qualified} "{name}" is invalid: {shown}', {k: v for k, v in details.items() if v}
    )


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    """403 by policy rather than by permission, for example for an object in a namespace that is being deleted."""
    return ApiError(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', _details(resource, name))


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(requested: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {requested} ({oldest})")


def too_large_revision(requested: int, current: int) -> ApiError:
    message = f"Too large resource version: {requested}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def too_many_requests(message: str, cause: str) -> ApiError:
    """429, the answer to an eviction that a disruption budget does not allow."""
    return ApiError(429, "TooManyRequests", message, {"causes": [{"reason": "DisruptionBudget", "message": cause}]})


def unsupported_media_type(accepted: tuple[str, ...]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


def service_unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
