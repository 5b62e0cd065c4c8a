"""Fixtures of the Kubernetes suite: each test that takes `cluster` runs on the lab's cluster and on a real one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.lab.kubernetes.clusters import Cluster, Processes, lab_cluster, missing_assets, real_cluster
from tests.lab.kubernetes.manifests import create_namespace, delete_namespace

_KINDS = [pytest.param("lab"), pytest.param("real", marks=[pytest.mark.real_kubernetes, pytest.mark.prove])]


@pytest.fixture(scope="session")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Processes]]:
    with lab_cluster(tmp_path_factory.mktemp("lab-cluster"), "127.91.1.0/24") as running:
        yield running


@pytest.fixture(scope="session")
def _real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Processes]]:
    missing = missing_assets()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the real control plane: {missing}")
    if missing:
        pytest.skip(f"REAL KUBERNETES NOT TESTED: {missing}")
    with real_cluster(tmp_path_factory.mktemp("real-cluster"), "127.91.2.0/24") as running:
        yield running


@pytest.fixture(scope="session", params=_KINDS)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    running: tuple[Cluster, Processes] = request.getfixturevalue(f"_{request.param}")
    return running[0]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    create_namespace(cluster, name)
    yield name
    delete_namespace(cluster, name)
