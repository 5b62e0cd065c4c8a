"""Who owns an object and would put it back: GitOps and Helm."""

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


def owner(metadata: Any) -> str:
    """The deployment tool that owns an object, with its name for it; empty when nobody says so."""
    marks: dict[str, str] = {**(metadata.labels or {}), **(metadata.annotations or {})}
    for key, tool in _OWNERS:
        if key in marks:
            return f"{tool} ({marks[key]})"
    return "Helm" if marks.get("app.kubernetes.io/managed-by") == "Helm" else ""
