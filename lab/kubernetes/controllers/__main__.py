"""`python -m lab.kubernetes.controllers`: runs the controllers until SIGTERM.

Prints `ready` when their copies of the cluster's state are complete.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from lab.kubernetes.client import ApiClient
from lab.kubernetes.controllers.autoscaler import Autoscaler, Settings
from lab.kubernetes.controllers.deployment import DeploymentController
from lab.kubernetes.controllers.disruption import DisruptionController
from lab.kubernetes.controllers.replicaset import ReplicaSetController
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.kubeconfig import Kubeconfig, KubeconfigError
from lab.kubernetes.service import announce_ready, run_until_terminated


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.kubernetes.controllers", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--autoscaler-sync-period", type=float, default=15.0, help="seconds between looks")
    parser.add_argument(
        "--autoscaler-downscale-stabilization", type=float, default=300.0, help="seconds before scaling down"
    )
    parser.add_argument("--ready-file", type=Path, help="file to touch when the controllers are ready")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = Kubeconfig.load(options.kubeconfig)
    except KubeconfigError as error:
        parser.error(f"--kubeconfig: {error}")
    settings = Settings(options.autoscaler_sync_period, options.autoscaler_downscale_stabilization)
    asyncio.run(_run(config, settings, options.ready_file))


async def _run(config: Kubeconfig, settings: Settings, ready_file: Path | None) -> None:
    async with ApiClient(config, "kube-controller-manager/v1.32.0-lab") as client:
        events = EventRecorder(client, "kube-controller-manager")
        replica_sets = ReplicaSetController(client, events)
        deployments = DeploymentController(client, events, replica_sets.pods, replica_sets.replica_sets)
        autoscaler = Autoscaler(client, events, replica_sets.pods, settings)
        disruption = DisruptionController(client, replica_sets.pods, replica_sets.replica_sets)
        informers = [
            replica_sets.pods,
            replica_sets.replica_sets,
            deployments.deployments,
            autoscaler.autoscalers,
            disruption.budgets,
        ]
        replica_sets.pods.subscribe(disruption.pod_changed)

        async def work() -> None:
            for informer in informers:
                await informer.synced.wait()
            announce_ready(ready_file)
            async with asyncio.TaskGroup() as workers:
                for queue in (replica_sets.queue, deployments.queue, disruption.queue):
                    workers.create_task(queue.run())
                workers.create_task(autoscaler.run())

        await run_until_terminated(work(), events.run(), *(informer.run() for informer in informers))


if __name__ == "__main__":
    main()
