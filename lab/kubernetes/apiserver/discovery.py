"""What there is: `/api`, `/apis` and below, in the legacy and the aggregated form, and `/version`."""

from __future__ import annotations

from lab.kubernetes.apiserver.resources import RESOURCES, Resource, groups, subresource
from lab.kubernetes.objects import Object

AGGREGATED = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AGGREGATED_TYPE = f"application/json;{AGGREGATED}"
VERSION = "v1.32.0-lab"


def version() -> Object:
    return {
        "major": "1",
        "minor": "32",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2024-01-15T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def legacy(path: str) -> Object | None:
    """The document at a discovery path, None where there is none."""
    match path.strip("/").split("/"):
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["api", version]:
            return _resource_list("", version)
        case ["apis"]:
            listed = [_group(group) for group in groups() if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["apis", group] if group in groups():
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, version]:
            return _resource_list(group, version)
    return None


def aggregated(path: str) -> Object | None:
    """`/api` and `/apis` as one document with all resources."""
    match path.strip("/"):
        case "api":
            shown = [""]
        case "apis":
            shown = [group for group in groups() if group]
        case _:
            return None
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated(each) for each in _in(group, version)],
                }
                for version in groups()[group]
            ],
        }
        for group in shown
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _in(group: str, version: str) -> list[Resource]:
    return [resource for resource in RESOURCES if (resource.group, resource.version) == (group, version)]


def _group(group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group: str, version: str) -> Object | None:
    found = _in(group, version)
    if not found:
        return None
    listed = [entry for resource in found for entry in _listed(resource)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].group_version, "resources": listed}


def _listed(resource: Resource) -> list[Object]:
    own: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        own["shortNames"] = list(resource.short_names)
    if resource.in_all:
        own["categories"] = ["all"]
    return [own, *(_listed_subresource(resource, name) for name in resource.subresources)]


def _listed_subresource(resource: Resource, name: str) -> Object:
    described = subresource(resource, name)
    entry: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": described.kind,
        "verbs": list(described.verbs),
    }
    if (described.group, described.version) != (resource.group, resource.version):
        entry.update(group=described.group, version=described.version)
    return entry


def _aggregated(resource: Resource) -> Object:
    return {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
        "categories": ["all"] if resource.in_all else [],
        "subresources": [_aggregated_subresource(resource, name) for name in resource.subresources],
    }


def _aggregated_subresource(resource: Resource, name: str) -> Object:
    described = subresource(resource, name)
    kind = {"group": described.group, "version": described.version, "kind": described.kind}
    return {"subresource": name, "responseKind": kind, "verbs": list(described.verbs)}
