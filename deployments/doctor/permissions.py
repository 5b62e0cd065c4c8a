"""What our account may do in a site's namespace, and the Role that grants what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import yaml

from deployments.doctor.cluster import kubectl
from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.model.outcome import Trust
from tasks.platform import Platform
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.permissions import Permission, binding, may, role

_GRANT = (
    "runbooks role {site} --user USER | {kubectl} apply -f -, by somebody who may grant it there; USER is this "
    "account, as {kubectl} auth whoami names it. The rules that are missing: {rules}"
)

READS = Kind("may-not-read", Health.BROKEN, "what it may not read is unknown, and no option rests on it", _GRANT)
WRITES = Kind("may-not-write", Health.BROKEN, "changes of this kind fail at the moment of acting", _GRANT)
WRITES_LATER = Kind(
    "may-not-write-yet",
    Health.DOUBTFUL,
    "nothing as long as the site trusts no runbook to change anything; afterwards changes fail at the moment of acting",
    _GRANT,
)
KINDS = (READS, WRITES, WRITES_LATER)


def role_yaml(platform: Platform, user: str = "") -> str:
    """The Role that a site's platform needs, and with `user` the RoleBinding that gives it to this account.

    Raises:
        ValueError: the platform is on no Kubernetes cluster.
    """
    cluster = platform.cluster()
    if cluster is None:
        raise ValueError(f"the platform {platform.slug()} is on no Kubernetes cluster, so it needs no Role")
    documents = [role(cluster.namespace, platform.permissions())]
    if user:
        documents.append(binding(cluster.namespace, user))
    return yaml.safe_dump_all(documents, sort_keys=False)


def read(cluster: Cluster, permissions: Iterable[Permission]) -> Mapping[Permission, bool]:
    """Whether our account has each of them, as the API server judges it."""
    return {permission: may(cluster, permission) for permission in sorted(permissions)}


def judge(site: str, cluster: Cluster, granted: Mapping[Permission, bool], *, acts: bool) -> Iterable[Finding]:
    """What is missing. `acts` says whether any runbook may change anything at this site."""
    missing = [permission for permission, has in granted.items() if not has]
    for kind, lacking in (
        (READS, [permission for permission in missing if not permission.writes]),
        (WRITES if acts else WRITES_LATER, [permission for permission in missing if permission.writes]),
    ):
        if lacking:
            seen = f"{len(lacking)} of {len(granted)} are missing: {', '.join(map(str, lacking))}"
            yield kind.found("permissions", seen, site, rules=_rules(lacking), kubectl=kubectl(cluster))
    if not missing:
        yield fine("permissions", f"all {len(granted)}: {', '.join(map(str, granted))}", site)


def acts(platform: Platform, runbooks: Iterable[str]) -> bool:
    """Whether any of these runbooks may change something at the site."""
    return any(platform.trust_in(runbook) in (Trust.APPROVE, Trust.ACT) for runbook in runbooks)


def _rules(lacking: Iterable[Permission]) -> str:
    rules = role("", lacking)["rules"]
    return yaml.safe_dump(rules, default_flow_style=True, width=10_000, sort_keys=False).strip()
