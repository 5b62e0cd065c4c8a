"""As much of a kubeconfig file as the components need: the current context's server and credentials."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(ValueError):
    """The file cannot be read or says too little."""


@dataclass(frozen=True)
class Kubeconfig:
    """Where the API is and how to authenticate there."""

    server: str
    token: str
    certificate_authority: Path | None = None
    insecure: bool = False

    @classmethod
    def load(cls, path: Path) -> Kubeconfig:
        """Reads the current context. Raises KubeconfigError."""
        try:
            document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
            context = _entry(document, "contexts", document["current-context"])["context"]
            cluster = _entry(document, "clusters", context["cluster"])["cluster"]
            user = _entry(document, "users", context["user"])["user"]
            authority = cluster.get("certificate-authority")
            if authority and not (path.parent / authority).exists():
                raise KubeconfigError(f"{path}: there is no {path.parent / authority}: start the API server first")
            return cls(
                server=cluster["server"].rstrip("/"),
                token=user["token"],
                certificate_authority=path.parent / authority if authority else None,
                insecure=bool(cluster.get("insecure-skip-tls-verify")),
            )
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise KubeconfigError(f"{path}: {error!r}") from error

    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp takes as `ssl`."""
        if self.insecure:
            return False
        return ssl.create_default_context(cafile=self.certificate_authority) if self.certificate_authority else True


def _entry(document: Any, section: str, name: str) -> Any:
    for entry in document[section]:
        if entry["name"] == name:
            return entry
    raise KeyError(f"{section}: {name}")
