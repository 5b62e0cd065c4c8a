"""A container's environment, resolved when it starts: a changed ConfigMap needs a restart, as anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from lab.kubernetes.client import CONFIG_MAPS, SECRETS, ApiClient, ApiStatusError
from lab.kubernetes.objects import Object, name_of, namespace_of

_REFERENCE = re.compile(r"\$(\$|\(([-._A-Za-z0-9]+)\))")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ConfigError(Exception):
    """A ConfigMap, Secret, key or field that the container needs is missing: CreateContainerConfigError."""


class EnvironmentResolver:
    """Builds environments; `base` comes from the kubelet's command line and stands for what an image would set."""

    def __init__(self, client: ApiClient, base: Mapping[str, str]) -> None:
        self._client = client
        self._base = base

    async def resolve(self, pod: Object, container: Object, address: str, home: Path) -> dict[str, str]:
        """Raises ConfigError, and the client's errors when the API cannot be asked."""
        environment = {"PATH": DEFAULT_PATH, "HOME": str(home), "HOSTNAME": name_of(pod), **self._base}
        namespace = namespace_of(pod)
        for source in container.get("envFrom") or ():
            environment |= await self._all_of(namespace, source)
        for variable in container.get("env") or ():
            if "valueFrom" in variable:
                value = await self._value_from(pod, address, variable["valueFrom"])
            else:
                value = expand(variable.get("value", ""), environment)
            if value is not None:
                environment[variable["name"]] = value
        return environment

    async def _all_of(self, namespace: str, source: Object) -> dict[str, str]:
        for field, read in (("configMapRef", self._config_map), ("secretRef", self._secret)):
            if field in source:
                data = await read(namespace, source[field])
                return {source.get("prefix", "") + name: value for name, value in (data or {}).items()}
        return {}

    async def _value_from(self, pod: Object, address: str, source: Object) -> str | None:
        for field, read, kind in (
            ("configMapKeyRef", self._config_map, "ConfigMap"),
            ("secretKeyRef", self._secret, "Secret"),
        ):
            if field not in source:
                continue
            reference = source[field]
            data = await read(namespace_of(pod), reference)
            if data is not None and reference["key"] in data:
                return data[reference["key"]]
            if data is None or reference.get("optional"):
                return None
            where = f"{kind} {namespace_of(pod)}/{reference['name']}"
            raise ConfigError(f"couldn't find key {reference['key']} in {where}")
        return _field(pod, address, (source.get("fieldRef") or {}).get("fieldPath", ""))

    async def _config_map(self, namespace: str, reference: Object) -> dict[str, str] | None:
        found = await self._read(
            CONFIG_MAPS.path(namespace, reference["name"]), f'configmap "{reference["name"]}"', reference
        )
        return found if found is None else found.get("data") or {}

    async def _secret(self, namespace: str, reference: Object) -> dict[str, str] | None:
        found = await self._read(SECRETS.path(namespace, reference["name"]), f'secret "{reference["name"]}"', reference)
        if found is None:
            return None
        return {name: base64.b64decode(value).decode() for name, value in (found.get("data") or {}).items()}

    async def _read(self, path: str, what: str, reference: Object) -> Object | None:
        try:
            return await self._client.get(path)
        except ApiStatusError as error:
            if error.code != 404:
                raise
            if reference.get("optional"):
                return None
            raise ConfigError(f"{what} not found") from error


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replaces `$(NAME)` by a variable known so far, leaves an unknown one, and takes `$$` for `$`."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        name: str = match.group(2)
        return environment.get(name, f"$({name})")

    return _REFERENCE.sub(replacement, text)


def _field(pod: Object, address: str, path: str) -> str:
    known: dict[str, str] = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.podIP": address,
        "status.hostIP": "127.0.0.1",
    }
    if path not in known:
        raise ConfigError(f"fieldPath {path!r} is not supported by this kubelet")
    return known[path]
