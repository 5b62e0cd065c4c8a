"""The Kubernetes API of a site: whether it answers us, and serves what runbooks ask for."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.evidence import Unknown
from tasks.platform import Platform
from tasks.systems.errors import explain
from tasks.systems.kubernetes.client import Cluster

UNREACHABLE = Kind(
    "kubernetes-unreachable",
    Health.BROKEN,
    "nothing of the workloads can be read or changed",
    "{kubectl} version, from the worker; then correct the site's context or kubeconfig, or the token",
)
NOT_SERVED = Kind(
    "api-not-served",
    Health.BROKEN,
    "what rests on it is unknown: without metrics.k8s.io pools are not grown, without policy/v1 disruption budgets are "
    "not seen",
    "{kubectl} api-versions; for metrics.k8s.io install metrics-server, for the others a newer Kubernetes",
)
KINDS = (UNREACHABLE, NOT_SERVED)


@dataclass(frozen=True, slots=True)
class Server:
    """What the API server says of itself: its version and the API versions that it serves, or why it says nothing."""

    version: str = ""
    served: frozenset[str] = field(default_factory=frozenset)
    trouble: str = ""


def kubectl(cluster: Cluster | None) -> str:
    """kubectl for a site's cluster, never for whatever context is current. Where the worker uses its pod's account, the
    reader has to know which context that cluster has elsewhere."""
    words = ["kubectl"]
    if cluster is not None and cluster.context and cluster.kubeconfig:
        words += ["--kubeconfig", cluster.kubeconfig]
    return shlex.join([*words, "--context", (cluster.context if cluster else "") or "CONTEXT"])


def read(cluster: Cluster) -> Server:
    """The API server, asked with our account."""
    try:
        code: Any = cluster.version.get_code(_request_timeout=cluster.timeout)
        groups: Any = cluster.apis.get_api_versions(_request_timeout=cluster.timeout)
    except Exception as error:  # whatever it is, nothing can be read there
        return Server(trouble=Unknown.because(explain(error)).reason)
    served = {version.group_version for group in groups.groups for version in group.versions}
    return Server(code.git_version, frozenset({"v1", *served}))


def judge(site: str, platform: Platform, server: Server) -> Iterable[Finding]:
    """Whether the API server answers and serves what the platform's permissions speak of."""
    what, command = f"Kubernetes API, {platform.where()}", kubectl(platform.cluster())
    if server.trouble:
        yield UNREACHABLE.found(what, server.trouble, site, kubectl=command)
        return
    missing = sorted({permission.api for permission in platform.permissions()} - server.served)
    for api in missing:
        seen = f"it is not served by Kubernetes {server.version}"
        yield NOT_SERVED.found(f"Kubernetes API {api}", seen, site, kubectl=command)
    if not missing:
        yield fine(what, f"{server.version}, asked with client {metadata.version('kubernetes')}", site)
