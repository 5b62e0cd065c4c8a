"""Scale, binding and eviction: views of an object, and acts upon it, that have a kind of their own."""

from __future__ import annotations

from lab.kubernetes import timestamps
from lab.kubernetes.apiserver import validation
from lab.kubernetes.apiserver.decoding import decode_kind
from lab.kubernetes.apiserver.deletion import DeleteOptions, key_of
from lab.kubernetes.apiserver.errors import conflict, invalid, too_many_requests
from lab.kubernetes.apiserver.registry import Registry
from lab.kubernetes.apiserver.resources import Resource, stored
from lab.kubernetes.objects import Object, is_pod_ready, name_of, namespace_of
from lab.kubernetes.selectors import LabelSelector

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def scale_of(workload: Object) -> Object:
    """A Deployment or ReplicaSet as `autoscaling/v1 Scale`."""
    metadata = workload["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in shown},
        "spec": {"replicas": workload["spec"]["replicas"]},
        "status": {
            "replicas": workload.get("status", {}).get("replicas", 0),
            "selector": str(LabelSelector.of(workload["spec"]["selector"])),
        },
    }


def with_scale(workload: Object, scale: Object) -> Object:
    """The workload with the replicas and the resourceVersion of the scale. Raises ApiError (400, 422)."""
    scale, _ = decode_kind("autoscaling", "v1", "Scale", scale, "Ignore")
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    errors = validation.not_negative(replicas, "spec.replicas")
    if errors:
        raise invalid("autoscaling", "Scale", name_of(workload), errors)
    identity = {
        name: scale["metadata"][name] for name in ("name", "uid", "resourceVersion") if name in scale["metadata"]
    }
    metadata = {
        **{name: value for name, value in workload["metadata"].items() if name != "resourceVersion"},
        **identity,
    }
    return {**workload, "metadata": metadata, "spec": {**workload["spec"], "replicas": replicas}}


def bind(registry: Registry, resource: Resource, pod: Object, binding: Object) -> Object:
    """Puts a pod on a node. Raises ApiError 409 when it is on one already."""
    if pod["spec"].get("nodeName"):
        why = f'pod {name_of(pod)} is already assigned to node "{pod["spec"]["nodeName"]}"'
        raise conflict(_BINDINGS, name_of(pod), why)
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": timestamps.seconds(),
    }
    others = [each for each in pod["status"].get("conditions") or () if each["type"] != "PodScheduled"]
    bound = {
        **pod,
        "spec": {**pod["spec"], "nodeName": binding["target"]["name"]},
        "status": {**pod["status"], "conditions": [*others, scheduled]},
    }
    registry.store.put(key_of(resource, pod), bound)
    return {**_SUCCESS, "code": 201}


def evict(registry: Registry, resource: Resource, pod: Object, eviction: Object) -> Object:
    """Deletes a pod if its disruption budgets allow it. Raises ApiError 429 if one does not."""
    budgets = stored(("policy", "poddisruptionbudgets"))
    options = DeleteOptions.of(eviction.get("deleteOptions") or {})
    finished = pod["status"].get("phase") in ("Pending", "Succeeded", "Failed")
    guards = [
        budget
        for budget in registry.store.list(budgets.collection, namespace_of(pod))
        if not finished and LabelSelector.of(budget.get("spec", {}).get("selector") or {}).matches(pod)
    ]
    for budget in guards:
        _take_disruption(registry, budgets, budget, pod, options.dry_run)
    registry.deletion.delete(resource, pod, options)
    return {**_SUCCESS, "code": 201}


def _take_disruption(registry: Registry, resource: Resource, budget: Object, pod: Object, dry_run: bool) -> None:
    status = budget["status"]
    name = name_of(budget)
    refusal = "Cannot evict pod as it would violate the pod's disruption budget."
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise too_many_requests(refusal, f"The disruption budget {name} is still being processed by the server.")
    if not is_pod_ready(pod):
        return
    if status["disruptionsAllowed"] <= 0:
        counts = f"needs {status['desiredHealthy']} healthy pods and has {status['currentHealthy']} currently"
        raise too_many_requests(refusal, f"The disruption budget {name} {counts}")
    if not dry_run:
        # Named until the disruption controller has seen the deletion; else it would count the pod as healthy again.
        disrupted = {**status.get("disruptedPods", {}), name_of(pod): timestamps.seconds()}
        taken = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
        registry.store.put(key_of(resource, budget), {**budget, "status": taken})


_BINDINGS = Resource("", "v1", "pods/binding", "Binding")
