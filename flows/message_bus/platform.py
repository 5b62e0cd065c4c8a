"""The message bus platform: where its parts are at a site, what is allowed there, the document's numbers.

Source: Message Bus & Orchestration Troubleshooting Runbook, v0.8.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from flows.message_bus import numbers
from flows.message_bus.numbers import (
    CriticalTaskQueueDepth,
    HighTaskQueueDepth,
    PausedSources,
    WorkerPoolExhaustion,
)
from tasks.model.change import Change
from tasks.model.claim import Bound
from tasks.model.knob import Knob
from tasks.model.site import SideEffect
from tasks.model.target import Target
from tasks.platform import Platform
from tasks.systems.exposition import Endpoints
from tasks.systems.kubernetes import config, pods, scaling
from tasks.systems.kubernetes.client import Cluster
from tasks.systems.kubernetes.config import EnvSetting, Restart, read_setting
from tasks.systems.kubernetes.permissions import Permission
from tasks.systems.kubernetes.pods import metrics_addresses
from tasks.systems.kubernetes.scaling import AutoscalerBounds, DeploymentReplicas, read_autoscaler
from tasks.systems.kubernetes.workloads import read_deployment
from tasks.systems.metrics import Gauge, Metrics
from tasks.systems.orchestration.admin import Admin

WORKERS = "workers per pod"
DOCUMENT = "Message Bus & Orchestration Troubleshooting Runbook"


class Series(BaseModel):
    """The names under which the orchestration service exports its metrics."""

    model_config = ConfigDict(frozen=True)

    pending: str = Field("orchestration_task_queue_pending", title="Tasks waiting (gauge, the same in every pod)")
    running: str = Field("orchestration_task_queue_running", title="Tasks running (gauge, the same in every pod)")
    completed: str = Field("orchestration_tasks_completed_total", title="Tasks completed (counter per pod)")
    workers_active: str = Field("orchestration_worker_pool_active", title="Busy workers (gauge per pod)")
    workers_max: str = Field("orchestration_worker_pool_max", title="Workers (gauge per pod)")
    task_duration: str = Field("orchestration_task_duration_seconds", title="Task run time (histogram)")


class MessageBus(Platform):
    """One message bus with its orchestration runtime, in one namespace of one cluster."""

    _block_type_name = "Message Bus"
    _block_type_slug = "message-bus"
    _description = "One message bus with its orchestration runtime, in one namespace of one Kubernetes cluster."

    namespace: str = Field(min_length=1, title="Namespace", description="Changes are made here and nowhere else.")
    context: str = Field(
        "", title="Context", description="Of the kubeconfig. Empty: the service account of the worker's own pod."
    )
    kubeconfig: str = Field("", title="Kubeconfig", description="A path on the worker. Empty: the usual place.")
    orchestration: str = Field("orchestration", min_length=1, title="Orchestration Deployment")
    orchestration_labels: dict[str, str] = Field(
        default_factory=lambda: {"app": "orchestration"},
        min_length=1,
        title="Labels of the orchestration pods",
    )
    metrics_port: int = Field(8082, ge=1, le=65535, title="Metrics port of the orchestration pods")
    publishers: str = Field("event-publishers", min_length=1, title="Event publisher Deployment")
    analytics_publisher: str = Field(
        "analytics-publisher", title="Analytics publisher Deployment", description="Empty: this site has none."
    )
    background_job_publisher: str = Field(
        "background-job-publisher",
        title="Background job publisher Deployment",
        description="Empty: this site has none.",
    )
    admin_url: str = Field(
        "",
        title="Admin API of the orchestration service",
        description="Empty: the ready pods themselves are asked, at their metrics port; any of them answers for all.",
    )
    redis_url: SecretStr = Field(SecretStr("redis://redis:6379/0"), title="Redis")
    pool_size_key: str = Field(
        "ORCHESTRATION_WORKER_POOL_SIZE", min_length=1, title="Environment variable of the pool size"
    )
    pool_size_default: int = Field(10, ge=1, title="Pool size where nothing sets it")
    replica_floor: int = Field(1, ge=1, title="Never fewer orchestration replicas than")
    replica_ceiling: int = Field(10, ge=1, title="Never more orchestration replicas than")
    worker_ceiling: int = Field(20, ge=1, title="Never more workers per pod than")
    load_at_most: float = Field(
        0.8, gt=0, le=1, title="CPU and memory after growing, at most (share of the pod's limit)"
    )
    requeues_on_stop: bool = Field(
        False,
        title="A stopping pod gives its tasks back",
        description="Checked at this site: tasks return to the queue on SIGTERM. If not, a restart asks a person.",
    )
    series: Series = Field(default_factory=lambda: Series.model_validate({}), title="Metric names")
    high_task_queue_depth: HighTaskQueueDepth = Field(
        default_factory=lambda: HighTaskQueueDepth.model_validate({}), title="High task queue depth"
    )
    critical_task_queue_depth: CriticalTaskQueueDepth = Field(
        default_factory=lambda: CriticalTaskQueueDepth.model_validate({}), title="Critical task queue depth"
    )
    worker_pool_exhaustion: WorkerPoolExhaustion = Field(
        default_factory=lambda: WorkerPoolExhaustion.model_validate({}), title="Worker pool exhaustion"
    )

    paused_sources: PausedSources = Field(
        default_factory=lambda: PausedSources.model_validate({}), title="Paused event sources"
    )

    @property
    def pausable(self) -> tuple[str, ...]:
        """The event sources that the document pauses. (The audit publisher is not one of them: D058.)"""
        return (self.publishers, *self.not_critical)

    @property
    def not_critical(self) -> tuple[str, ...]:
        """The event sources that may stop altogether for a while, as far as this site has them."""
        return tuple(filter(None, (self.analytics_publisher, self.background_job_publisher)))

    def follow_up(self, target: Target, field: str) -> Change | None:
        """A rollout, where pods still run with larger pools than are configured now; but only where a stopping pod
        gives its tasks back: nobody is asked when something is given back, so nothing may be lost by it (D005). Else
        the pods take the number up at their next rollout.

        Its reason names the number: to give back another one is another rollout, and not the same one once more.
        """
        if field != self.pool_size_key or target.kind == scaling.DEPLOYMENT or not self.requeues_on_stop:
            return None
        size = self._configured_pool_size()
        if size is not None and not self._pools_are_larger(size):
            return None
        reason = f"to give {field} back" + (f": {size}" if size is not None else "")
        return Restart(self.cluster(), self.orchestration, reason, datetime.now(UTC))

    def _configured_pool_size(self) -> int | None:
        """The workers that a new pod would get; None where that cannot be told."""
        try:
            return read_setting(self.cluster(), self.orchestration, self.pool_size_key, self.pool_size_default).value
        except Exception:
            return None

    def _pools_are_larger(self, size: int) -> bool:
        """Whether a pod has more workers; where that cannot be told it may have."""
        try:
            return self.metrics().ask(Gauge(self.series.workers_max, over_pods="max")).value > size
        except Exception:
            return True

    def cluster(self) -> Cluster:
        """The connection to the site's namespace."""
        return Cluster(self.namespace, self.context, self.kubeconfig)

    def permissions(self) -> frozenset[Permission]:
        return frozenset((*pods.READ_LOGS, *pods.READ_USAGE, *scaling.SCALE, *config.SET))

    def owners(self) -> Mapping[str, str]:
        cluster, owners = self.cluster(), dict[str, str]()
        for name in (self.orchestration, *self.pausable):
            owners[f"deployment {name}"] = read_deployment(cluster, name).owner
            if scaler := read_autoscaler(cluster, name):
                owners[f"autoscaler {scaler.name}"] = scaler.owner
        setting = read_setting(cluster, self.orchestration, self.pool_size_key, self.pool_size_default)
        return owners | {str(setting.holder): setting.owner}

    def where(self) -> str:
        return f"namespace {self.namespace}, context {self.context or 'in-cluster'}"

    def scopes(self) -> frozenset[str]:
        return frozenset({self.namespace})

    def subject(self) -> Target:
        """What the runbooks of the task queue treat: the orchestration workload."""
        return Target(scaling.DEPLOYMENT, self.namespace, self.orchestration)

    def ceilings(self) -> Mapping[str, int]:
        return {scaling.REPLICAS: self.replica_ceiling, WORKERS: self.worker_ceiling}

    def floors(self) -> Mapping[str, int]:
        return {self.orchestration: self.replica_floor, **dict.fromkeys(self.pausable, 0)}

    def goals(self) -> Mapping[str, Mapping[str, int]]:
        wanted: dict[str, HighTaskQueueDepth | CriticalTaskQueueDepth | WorkerPoolExhaustion] = {
            "high_task_queue_depth": self.high_task_queue_depth,
            "critical_task_queue_depth": self.critical_task_queue_depth,
            "worker_pool_exhaustion": self.worker_pool_exhaustion,
        }
        return {
            runbook: {scaling.REPLICAS: goal.replicas, WORKERS: goal.workers_per_pod}
            for runbook, goal in wanted.items()
        }

    def side_effects(self) -> tuple[SideEffect, ...]:
        says = self.paused_sources
        fields = (scaling.REPLICAS, scaling.BOUNDS)
        return tuple(
            SideEffect(alert, self.pausable, fields, Bound.AT_MOST, says.label, 60 * says.fade_minutes)
            for alert in says.alerts
        )

    def contradictions(self) -> tuple[str, ...]:
        found = numbers.contradictions(
            self.high_task_queue_depth,
            self.critical_task_queue_depth,
            self.worker_pool_exhaustion,
            self.pace.quick_check,
        )
        if self.replica_floor > self.replica_ceiling:
            found = ("replica_floor is above replica_ceiling: no number of replicas is allowed", *found)
        return found

    def pool_size_knob(self, holder: Target) -> EnvSetting:
        """The setting of the workers per pod, in the object that holds it."""
        return EnvSetting(
            self.cluster(), self.orchestration, self.pool_size_key, holder, self.pool_size_default, WORKERS
        )

    def knob(self, target: Target, field: str) -> Knob:
        cluster = self.cluster()
        # Publishers hold nothing that could get lost; orchestration pods give their tasks back where that was checked.
        quiet = self.requeues_on_stop or target.name in self.pausable
        match target.kind, field:
            case (scaling.AUTOSCALER, scaling.BOUNDS):
                return AutoscalerBounds(cluster, target.name, quiet)
            case (scaling.DEPLOYMENT, scaling.REPLICAS):
                return DeploymentReplicas(cluster, target.name, quiet)
        if field == self.pool_size_key:
            return self.pool_size_knob(target)
        raise ValueError(f"{field} of {target} is nothing that this platform turns")

    def metrics(self) -> Metrics:
        """Prometheus where the site has one, else the orchestration pods themselves."""
        return self.prometheus() or self.endpoints()

    def endpoints(self) -> Endpoints:
        """The metrics of every ready orchestration pod."""
        return Endpoints(lambda: metrics_addresses(self.cluster(), self.orchestration_labels, self.metrics_port))

    def admin(self) -> Admin:
        """The admin API of the orchestration service."""
        if self.admin_url:
            return Admin(lambda: [self.admin_url])
        return Admin(lambda: metrics_addresses(self.cluster(), self.orchestration_labels, self.metrics_port, path=""))
