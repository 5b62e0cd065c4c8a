"""All runbooks, and the platforms they treat. A new runbook is added to `_MODULES` and nowhere else."""

from __future__ import annotations

from typing import Any

from prefect import Flow

from flows.message_bus import critical_task_queue_depth, high_task_queue_depth, worker_pool_exhaustion
from flows.message_bus.platform import MessageBus
from tasks.platform import Platform
from tasks.runbook import AnyRunbook

_MODULES = (high_task_queue_depth, critical_task_queue_depth, worker_pool_exhaustion)

RUNBOOKS: dict[str, AnyRunbook] = {module.RUNBOOK.id: module.RUNBOOK for module in _MODULES}
# A runbook's flow bears the runbook's id as its name.
FLOWS: dict[str, Flow[..., Any]] = {module.RUNBOOK.id: getattr(module, module.RUNBOOK.id) for module in _MODULES}
PLATFORMS: dict[str, type[Platform]] = {platform.slug(): platform for platform in (MessageBus,)}
