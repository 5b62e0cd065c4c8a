"""Names and labels: what they may be, and the complaints about those that are not."""

from __future__ import annotations

import re
from typing import Any

from lab.kubernetes.apiserver.errors import FieldError

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SERVICE_LABEL = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z")
_QUALIFIED = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")

NAME_IN_SUBDOMAIN_FORM = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_IN_LABEL_FORM = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def name_errors(kind: str, name: Any) -> list[FieldError]:
    field = "metadata.name"
    if not name:
        return [required(field, "name or generateName is required")]
    pattern, message, longest = _SUBDOMAIN, NAME_IN_SUBDOMAIN_FORM, 253
    if kind == "Namespace":
        pattern, message, longest = LABEL, NAME_IN_LABEL_FORM, 63
    elif kind == "Service":
        pattern, message, longest = _SERVICE_LABEL, NAME_IN_LABEL_FORM.replace("RFC 1123", "RFC 1035"), 63
    found = []
    if not pattern.match(name):
        found.append(FieldError(field, f"Invalid value: {shown(name)}: {message}"))
    if len(name) > longest:
        found.append(FieldError(field, f"Invalid value: {shown(name)}: must be no more than {longest} characters"))
    return found


def label_errors(labels: Any, field: str) -> list[FieldError]:
    found = []
    for key, value in (labels or {}).items():
        if not _QUALIFIED.match(key):
            found.append(
                FieldError(
                    field,
                    f"Invalid value: {shown(key)}: name part must consist of alphanumeric characters, '-', '_' or '.'",
                )
            )
        if not _VALUE.match(value) or len(value) > 63:
            found.append(
                FieldError(
                    field,
                    f"Invalid value: {shown(value)}: a valid label is empty or alphanumeric",
                )
            )
    return found


def required(field: str, message: str = "") -> FieldError:
    return FieldError(field, f"Required value{': ' + message if message else ''}", "FieldValueRequired")


def shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
