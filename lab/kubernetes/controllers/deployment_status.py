"""A Deployment's status: counts, and the conditions Available and Progressing."""

from __future__ import annotations

from lab.kubernetes import timestamps
from lab.kubernetes.controllers.rollout import Limits
from lab.kubernetes.objects import Object, condition, name_of

_NEW_AVAILABLE = "NewReplicaSetAvailable"
_TIMED_OUT = "ProgressDeadlineExceeded"
_PAUSED = "DeploymentPaused"


def status_of(deployment: Object, new: Object | None, all_sets: list[Object], created: bool) -> Object:
    """The status that follows from the ReplicaSets; `created` when the new one was made in this very pass."""
    old_status = deployment.get("status", {})
    total = _sum(all_sets, "replicas")
    available = _sum(all_sets, "availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": total,
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(all_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(each["spec"]["replicas"] for each in all_sets) - available),
    }
    status: Object = {name: count for name, count in counts.items() if count}
    progressing = _progressing(deployment, old_status, status, new, created)
    conditions = [_available(deployment, available), *([progressing] if progressing else [])]
    status["conditions"] = sorted(
        (_keep_times(deployment, each) for each in conditions), key=lambda each: str(each["type"])
    )
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    """All replicas are of the new template and available, and no old ones are left."""
    wanted = deployment["spec"]["replicas"]
    return all(status.get(name, 0) == wanted for name in ("updatedReplicas", "replicas", "availableReplicas"))


def seconds_until_deadline(deployment: Object) -> float | None:
    """When to look again for a rollout that makes no progress; None when there is nothing to wait for."""
    progressing = condition(deployment, "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if progressing is None or deadline is None or progressing["reason"] in (_NEW_AVAILABLE, _TIMED_OUT, _PAUSED):
        return None
    return max(0.0, float(deadline) - timestamps.age(progressing["lastUpdateTime"])) + 1.0


def _available(deployment: Object, available: int) -> Object:
    if available >= deployment["spec"]["replicas"] - Limits.of(deployment).max_unavailable:
        return _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    message = "Deployment does not have minimum availability."
    return _condition("Available", "False", "MinimumReplicasUnavailable", message)


def _progressing(
    deployment: Object, old_status: Object, status: Object, new: Object | None, created: bool
) -> Object | None:
    present = condition(deployment, "Progressing")
    reason = present["reason"] if present else ""
    if deployment["spec"].get("paused"):
        return present if reason == _PAUSED else _condition("Progressing", "Unknown", _PAUSED, "Deployment is paused")
    if reason == _PAUSED:
        return _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if created and new:
        return _condition("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name_of(new)}"')
    settled = reason == _NEW_AVAILABLE and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if settled or deployment["spec"].get("progressDeadlineSeconds") is None:
        return present
    if is_complete(deployment, status):
        return _condition("Progressing", "True", _NEW_AVAILABLE, f"{subject} has successfully progressed.")
    if present is None and new:
        return _condition("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"')
    if _has_progressed(old_status, status):
        return _condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.")
    if _is_timed_out(deployment, present):
        return _condition("Progressing", "False", _TIMED_OUT, f"{subject} has timed out progressing.")
    return present


def _has_progressed(before: Object, now: Object) -> bool:
    def old_pods(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_pods(now) < old_pods(before) or any(now.get(name, 0) > before.get(name, 0) for name in grown)


def _is_timed_out(deployment: Object, progressing: Object | None) -> bool:
    if progressing is None or progressing["reason"] == _NEW_AVAILABLE:
        return False
    if progressing["reason"] == _TIMED_OUT:
        return True
    return timestamps.age(progressing["lastUpdateTime"]) >= float(deployment["spec"]["progressDeadlineSeconds"])


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    present = timestamps.seconds()
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": present,
        "lastTransitionTime": present,
    }


def _keep_times(deployment: Object, new: Object) -> Object:
    """The transition time changes with the status only, the update time also when the rollout progresses."""
    old = condition(deployment, new["type"])
    if old is None or old is new:
        return new
    if new["status"] == old["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    unchanged = (new["status"], new["reason"], new["message"]) == (old["status"], old["reason"], old["message"])
    return old if unchanged and new["reason"] != "ReplicaSetUpdated" else new


def _sum(replica_sets: list[Object], field: str) -> int:
    return sum(int(each.get("status", {}).get(field, 0)) for each in replica_sets)
