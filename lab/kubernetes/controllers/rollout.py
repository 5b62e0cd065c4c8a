"""The arithmetic of a rolling update: how far each ReplicaSet may go now. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lab.kubernetes.objects import Object


@dataclass(frozen=True)
class Limits:
    """How many pods above, and how many available pods below the wanted number an update may go."""

    max_surge: int
    max_unavailable: int

    @classmethod
    def of(cls, deployment: Object) -> Limits:
        """Percentages are of the wanted replicas: surge rounds up, unavailable down, and one of them is at least 1."""
        if deployment["spec"]["strategy"]["type"] != "RollingUpdate":
            return cls(0, deployment["spec"]["replicas"])
        rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
        wanted = deployment["spec"]["replicas"]
        surge = math.ceil(_count(rolling.get("maxSurge", "25%"), wanted))
        unavailable = math.floor(_count(rolling.get("maxUnavailable", "25%"), wanted))
        return cls(surge, 1 if surge == 0 and unavailable == 0 else min(unavailable, wanted))


@dataclass(frozen=True)
class Generation:
    """What matters of one ReplicaSet: wanted and available replicas."""

    wanted: int
    available: int


def new_size(wanted: int, limits: Limits, new: Generation, old: list[Generation]) -> int:
    """The size of the new ReplicaSet: it grows by what the surge leaves room for."""
    if new.wanted >= wanted:
        return wanted
    total = new.wanted + sum(each.wanted for each in old)
    room = wanted + limits.max_surge - total
    return new.wanted + max(0, min(room, wanted - new.wanted))


def old_sizes(wanted: int, limits: Limits, new: Generation, old: list[Generation]) -> list[int]:
    """The sizes of the old ReplicaSets, oldest first: pods that are not available go first, then what can be spared."""
    sizes = [each.wanted for each in old]
    floor = wanted - limits.max_unavailable
    total = new.wanted + sum(sizes)
    removable = total - floor - max(0, new.wanted - new.available)
    for index, each in enumerate(old):
        unhealthy = min(max(0, each.wanted - each.available), max(0, removable))
        sizes[index] -= unhealthy
        removable -= unhealthy
    spare = new.available + sum(min(each.available, size) for each, size in zip(old, sizes, strict=True)) - floor
    for index, size in enumerate(sizes):
        fewer = min(size, max(0, spare))
        sizes[index] -= fewer
        spare -= fewer
    return sizes


def _count(value: int | str, total: int) -> float:
    text = str(value)
    return total * float(text[:-1]) / 100 if text.endswith("%") else float(text)
