"""`python -m lab.discovery`: tells Prometheus which pods to scrape.

Prometheus can ask a cluster itself, but not every build of it: Debian's has no `kubernetes_sd_configs`. So this program
asks, and writes what it finds into a file that every Prometheus can read (`file_sd_configs`). As usual, pods are
scraped that have the annotations `prometheus.io/scrape` and `prometheus.io/port`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from lab.cluster import Cluster, ClusterAccess
from lab.files import write_whole
from lab.kubernetes.objects import Object, is_deleting, name_of, namespace_of
from lab.model import GroundError

POLL_SECONDS = 0.5


def targets(pods: list[Object]) -> list[dict[str, object]]:
    """The pods to scrape, as `file_sd_configs` wants them."""
    found: list[dict[str, object]] = []
    for pod in pods:
        annotations = pod["metadata"].get("annotations", {})
        address, port = pod.get("status", {}).get("podIP"), annotations.get("prometheus.io/port")
        if annotations.get("prometheus.io/scrape") != "true" or not address or not port or is_deleting(pod):
            continue
        app = pod["metadata"].get("labels", {}).get("app", "")
        labels = {"namespace": namespace_of(pod), "pod": name_of(pod), "app": app}
        found.append({"targets": [f"{address}:{port}"], "labels": labels})
    return sorted(found, key=lambda target: str(target["targets"]))


def main() -> None:
    """Keep the file up to date until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m lab.discovery", description=__doc__)
    parser.add_argument("--access", type=Path, required=True, help="file that says how to reach the cluster (JSON)")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--output", type=Path, required=True, help="file to write the targets to")
    options = parser.parse_args()
    cluster = Cluster(ClusterAccess.model_validate_json(options.access.read_text()))
    written = ""
    while True:
        try:
            found = json.dumps(targets(cluster.pods(options.namespace)))
        except GroundError as error:
            sys.stderr.write(f"{error}\n")
        else:
            if found != written:
                write_whole(options.output, found)
                written = found
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
