"""Who owns an object and would put it back: GitOps, Helm, and controllers such as an operator or KEDA."""

from __future__ import annotations

from typing import Any

# Labels and annotations by which an object says who would put it back.
_OWNERS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
)


_ARGO = "argocd"  # how its field managers begin. Before 3.0 its only label was one that Helm charts bear too


def owner(metadata: Any) -> str:
    """The deployment tool or controller that owns an object, with its name for it; empty when nobody says so."""
    marks: dict[str, str] = {**(metadata.labels or {}), **(metadata.annotations or {})}
    for key, tool in _OWNERS:
        if key in marks:
            return f"{tool} ({marks[key]})"
    if marks.get("app.kubernetes.io/managed-by") == "Helm":
        return "Helm"
    if any((field.manager or "").startswith(_ARGO) for field in metadata.managed_fields or ()):
        return "Argo CD"
    controllers = (one for one in metadata.owner_references or () if one.controller)
    return next((f"{one.kind} ({one.name})" for one in controllers), "")
