"""`python -m lab.kubernetes.kubelet`: a node that runs containers as processes, until SIGTERM.

Prints `ready` when the node is registered and ready. The API server must be up.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.kubernetes.certificates import server_context
from lab.kubernetes.client import PODS, ApiClient, ApiStatusError, ApiUnreachableError
from lab.kubernetes.events import EventRecorder
from lab.kubernetes.informer import Informer
from lab.kubernetes.kubeconfig import Kubeconfig, KubeconfigError
from lab.kubernetes.kubelet.addresses import AddressPool, pod_subnet
from lab.kubernetes.kubelet.containers import BackOff, Runtime
from lab.kubernetes.kubelet.environment import EnvironmentResolver
from lab.kubernetes.kubelet.kubelet import Kubelet
from lab.kubernetes.kubelet.monitor import Monitor
from lab.kubernetes.kubelet.node import Node, keep_alive, register
from lab.kubernetes.kubelet.probes import Prober
from lab.kubernetes.kubelet.reaper import Reaper
from lab.kubernetes.kubelet.scheduler import Scheduler
from lab.kubernetes.kubelet.server import Server
from lab.kubernetes.service import announce_ready, run_until_terminated

_log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.kubernetes.kubelet", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder for logs and working directories")
    parser.add_argument("--pod-subnet", type=pod_subnet, required=True, help="loopback network, as 127.20.30.0/24")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the kubelet's own interface; default: any free one"
    )
    parser.add_argument("--node-name", default="lab-node-1")
    parser.add_argument(
        "--env", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="variable of every container"
    )
    parser.add_argument("--crash-backoff-base", type=float, default=10.0, help="seconds before a second restart")
    parser.add_argument("--metrics-window", type=float, default=5.0, help="seconds over which CPU use is averaged")
    parser.add_argument("--capacity-cpu", default="32", help="what the node claims to have, for the scheduler")
    parser.add_argument("--capacity-memory", default="64Gi")
    parser.add_argument("--capacity-pods", type=int, default=500, help="enough for a storm's idle ones")
    parser.add_argument("--ready-file", type=Path, help="file to touch when the node is ready")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = Kubeconfig.load(options.kubeconfig)
    except KubeconfigError as error:
        parser.error(f"--kubeconfig: {error}")
    options.root.mkdir(parents=True, exist_ok=True)
    options.root = options.root.resolve()
    reaper = Reaper()
    try:
        asyncio.run(_run(config, options, reaper))
    except (ApiStatusError, ApiUnreachableError) as error:
        parser.exit(1, f"cannot register the node: {error}\n")


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return name, value


async def _run(config: Kubeconfig, options: Any, reaper: Reaper) -> None:
    async with ApiClient(config, "kubelet/v1.32.0-lab") as client:
        events = EventRecorder(client, "kubelet", options.node_name)
        prober = Prober()
        environment = EnvironmentResolver(client, dict(options.env))
        runtime = Runtime(environment, prober, reaper, events, BackOff(options.crash_backoff_base))
        informer = Informer(client, PODS)
        addresses = AddressPool(options.pod_subnet)
        kubelet = Kubelet(client, runtime, informer, addresses, options.root, options.node_name)
        scheduler = Scheduler(client, EventRecorder(client, "default-scheduler"), informer, options.node_name)
        monitor = Monitor(kubelet.pods, events, options.metrics_window)
        runner = web.AppRunner(Server(options.node_name, kubelet.pods, monitor).application(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=server_context(options.root, "kubelet"))
        await site.start()
        port = int(runner.addresses[0][1])
        node = Node(options.node_name, port, options.capacity_cpu, options.capacity_memory, options.capacity_pods)
        try:
            await register(client, node)
            announce_ready(options.ready_file)
            await run_until_terminated(
                informer.run(),
                scheduler.run(),
                events.run(),
                scheduler.events.run(),
                monitor.run(),
                keep_alive(client, node),
            )
        finally:
            await kubelet.shut_down()
            await prober.close()
            await runner.cleanup()


if __name__ == "__main__":
    main()
