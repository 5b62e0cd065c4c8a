"""A small, truthful Kubernetes for the practice ground: API server, controllers and a process kubelet.

Three programs, each a client of the next one's HTTP interface and of nothing else:

    python -m lab.kubernetes.apiserver     the API, in memory with a journal
    python -m lab.kubernetes.controllers   deployments, replica sets, autoscalers, disruption budgets
    python -m lab.kubernetes.kubelet       one node: schedules pods and runs their containers as processes

`kubectl`, the Python client and Prometheus talk to it as to any cluster. Against a real kube-apiserver only the
kubelet is started.

What a user may do follows from the groups in the token file (`apiserver.auth.ROLES`): `system:masters` everything,
`viewers` read, `operators` read and change what runbooks change.

Every component authenticates under a user name that starts with `system:` (`system:kube-controller-manager`,
`system:node:<node>`), like the components of a real cluster. In the audit log a write by any other user is a
person's or an automation's.

Left out: exec, attach and port-forward; StatefulSets, DaemonSets, Jobs; volumes, init containers, exec probes and CPU
limits; service addresses that route; OpenAPI v2, so that kubectl cannot validate `kind: List` (it can `---`).
"""
