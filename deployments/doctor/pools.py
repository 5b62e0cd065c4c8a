"""Work pools: whether they take runs, and whether a worker is online to start them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prefect.exceptions import ObjectNotFound

from deployments.doctor.finding import Finding, Health, Kind, fine
from tasks.systems.prefect import get_client

POOL_TYPE, DEFAULT_QUEUE = "process", "default"
_WAITING = "runs are made and wait for ever"

MISSING = Kind(
    "pool-missing",
    Health.BROKEN,
    "nothing can be deployed, and no run starts",
    "prefect work-pool create {pool} --type process, then prefect --no-prompt deploy --all",
)
TYPE = Kind(
    "pool-of-another-type",
    Health.DOUBTFUL,
    "`runbooks worker` does not serve it, and whoever does has to start runs where this code and its ledger are",
    "prefect --no-prompt work-pool delete {pool}, prefect work-pool create {pool} --type process, then prefect "
    "--no-prompt deploy --all",
)
PAUSED = Kind("pool-paused", Health.BROKEN, _WAITING, "prefect work-pool resume {pool}")
QUEUE_PAUSED = Kind("queue-paused", Health.BROKEN, _WAITING, "prefect work-queue resume {queue} --pool {pool}")
LIMITED = Kind(
    "pool-limited-to-nothing",
    Health.BROKEN,
    _WAITING,
    "prefect work-pool clear-concurrency-limit {pool}; "
    "prefect work-queue clear-concurrency-limit default --pool {pool}",
)
NO_WORKER = Kind("no-worker", Health.BROKEN, _WAITING, "prefect worker start --pool {pool}")
KINDS = (MISSING, TYPE, PAUSED, QUEUE_PAUSED, LIMITED, NO_WORKER)


@dataclass(frozen=True, slots=True)
class Pool:
    """A work pool that exists; `limit` is the lower one of the pool's and its queue's, `workers` have their status by
    name."""

    type: str
    paused: bool = False
    limit: int | None = None
    paused_queues: tuple[str, ...] = ()
    workers: Mapping[str, str] | None = None


def read(name: str) -> Pool | None:
    """The pool as the server has it; None where there is none."""
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_work_pool(name)
        except ObjectNotFound:
            return None
        queues = client.read_work_queues(work_pool_name=name)
        workers = client.read_workers_for_work_pool(name)
    status = {worker.name: str(worker.status.value if worker.status else "OFFLINE") for worker in workers}
    ours = [queue for queue in queues if queue.name == DEFAULT_QUEUE]  # our deployments name no other
    limits = [limit for limit in (pool.concurrency_limit, *(q.concurrency_limit for q in ours)) if limit is not None]
    paused = tuple(queue.name for queue in ours if queue.is_paused)
    return Pool(pool.type, pool.is_paused, min(limits, default=None), paused, status)


def judge(name: str, pool: Pool | None) -> Iterable[Finding]:
    """Whether runs that go there are started."""
    what = f"work pool {name}"
    if pool is None:
        yield MISSING.found(what, "there is none", pool=name)
        return
    if pool.type != POOL_TYPE:
        yield TYPE.found(what, f"it is of type {pool.type}", pool=name)
    if pool.paused:
        yield PAUSED.found(what, "it is paused", pool=name)
    for queue in pool.paused_queues:
        yield QUEUE_PAUSED.found(what, f"its queue {queue} is paused", pool=name, queue=queue)
    if pool.limit == 0:
        yield LIMITED.found(what, "it lets no run begin: the concurrency limit is 0", pool=name)
    workers = pool.workers or {}
    online = sorted(worker for worker, status in workers.items() if status == "ONLINE")
    if online:
        yield fine(f"workers of {name}", f"online: {', '.join(online)}")
    else:
        yield NO_WORKER.found(f"workers of {name}", f"{len(workers)} are known, none is online", pool=name)
