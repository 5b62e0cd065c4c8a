"""What the service reads from its environment, once, at its start: a changed ConfigMap needs a restart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The configuration of one pod."""

    redis_url: str
    pod: str
    host: str
    port: int = 8082
    worker_pool_size: int = 10
    max_retries: int = 3
    namespace: str = ""
    audit_log: Path | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment.

        Raises:
            KeyError: REDIS_URL, POD_NAME or POD_IP is not set.
            ValueError: a number is not one, or the pool is empty.
        """
        size = int(os.environ.get("ORCHESTRATION_WORKER_POOL_SIZE", cls.worker_pool_size))
        if size < 1:
            raise ValueError(f"ORCHESTRATION_WORKER_POOL_SIZE must be at least 1, not {size}")
        audit_log = os.environ.get("ORCHESTRATION_AUDIT_LOG")
        return cls(
            redis_url=os.environ["REDIS_URL"],
            pod=os.environ["POD_NAME"],
            host=os.environ["POD_IP"],
            worker_pool_size=size,
            max_retries=int(os.environ.get("ORCHESTRATION_MAX_RETRIES", cls.max_retries)),
            namespace=os.environ.get("POD_NAMESPACE", cls.namespace),
            audit_log=Path(audit_log) if audit_log else None,
        )
