"""The site of the practice ground: the same settings as a real one, with waits scaled down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.client.schemas.actions import BlockDocumentCreate
from pydantic import BaseModel, SecretStr

from deployments.rules import rules_yaml
from flows.catalogue import RUNBOOKS
from flows.message_bus.numbers import CriticalTaskQueueDepth, HighTaskQueueDepth, WorkerPoolExhaustion
from flows.message_bus.platform import MessageBus
from lab.model import Endpoints
from tasks.limits import Limits
from tasks.model.outcome import Trust
from tasks.platform import Pace
from tasks.systems.prefect import get_client

SITE = "practice-ground"
LABELS = {"site": SITE}

PACE = Pace(
    poll_seconds=0.5,
    settle_seconds=3,
    stale_after_seconds=5,
    window_seconds=6,
    quick_check_minutes=0.2,
    verify_minutes=1,
    lease_seconds=8,
    approve_minutes=1,
    give_back_seconds=2,
    look_back_seconds=5,
)
LIMITS = Limits.model_validate({"cooldown_minutes": 0, "changes_per_hour": 500})
NUMBERS: dict[str, BaseModel] = {
    "high_task_queue_depth": HighTaskQueueDepth.model_validate({"hold_minutes": 0.03, "recovered_within_minutes": 1}),
    "critical_task_queue_depth": CriticalTaskQueueDepth.model_validate(
        {"hold_minutes": 0.03, "recovered_within_minutes": 1}
    ),
    "worker_pool_exhaustion": WorkerPoolExhaustion.model_validate(
        {"hold_minutes": 0.4, "long_seconds": 5, "stuck_after_seconds": 20}
    ),
}


def practice_site(ground: Endpoints) -> MessageBus:
    """The block of the practice ground. Runbooks may act by themselves there: it is there to be acted upon."""
    return MessageBus(
        namespace=ground.namespace,
        context="operator",
        kubeconfig=str(ground.kubeconfig),
        redis_url=SecretStr(ground.redis_url),
        prometheus_url=ground.prometheus_url or "",
        alertmanager_url=ground.alertmanager_url or "",
        alert_labels=LABELS,
        trust=Trust.ACT,
        requeues_on_stop=True,
        pace=PACE,
        limits=LIMITS,
        escalate_after_minutes=2,
        restore_within_minutes=10,
        **NUMBERS,
    )


def save_like(example: str, sites: Mapping[str, Mapping[str, Any]]) -> None:
    """Saves new sites that differ from a saved one in some settings: by name, setting and value.

    `Block.save` registers the block's type anew for each of them, which takes seconds.
    """
    with get_client(sync_client=True) as client:
        like = client.read_block_document_by_name(example, MessageBus.get_block_type_slug(), include_secrets=True)
        for name, changes in sites.items():
            data = {**like.data, **changes}
            client.create_block_document(
                BlockDocumentCreate(
                    name=name, data=data, block_schema_id=like.block_schema_id, block_type_id=like.block_type_id
                )
            )


def only(runbook: str) -> dict[str, Any]:
    """Settings with which one runbook acts at the practice ground and is not superseded: the others, whose alerts the
    same fault may raise, look and report."""
    high = NUMBERS["high_task_queue_depth"].model_copy(update={"critical_limit": 1_000_000})
    others = {other: Trust.OBSERVE for other in RUNBOOKS if other != runbook}
    return {"trust_by_runbook": others, "high_task_queue_depth": high}


def write_practice_rules(folder: Path) -> Path:
    """The alert rules of the practice ground, as a file for its Prometheus."""
    # The rules say nothing of where the site is; so they can be written before it exists.
    site = MessageBus(namespace="unknown yet", alert_labels=LABELS, pace=PACE, **NUMBERS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "runbooks.rules.yml"
    path.write_text(rules_yaml(site))
    return path
