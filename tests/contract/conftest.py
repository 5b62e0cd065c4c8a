"""Real servers on free ports of the loopback device, started once for all tests that need them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tasks.ledger import Ledger
from tasks.ledger.tables import metadata
from tests.contract.kubernetes import Site
from tests.contract.ledger.places import Clock, Place
from tests.contract.monitoring.running import Monitoring, start_monitoring
from tests.contract.postgres import Postgres, start_postgres
from tests.lab.kubernetes.clusters import Cluster, lab_cluster, missing_assets, real_cluster
from tests.lab.kubernetes.manifests import create_namespace, delete_namespace


@pytest.fixture(scope="session")
def running_monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    """Prometheus, Alertmanager and four pods, three of them ours."""
    with start_monitoring(tmp_path_factory.mktemp("monitoring")) as found:
        yield found


@pytest.fixture
def monitoring(running_monitoring: Monitoring) -> Monitoring:
    """The monitoring with new pods: nothing is exported yet, and all of them are scraped."""
    pods = running_monitoring.pods
    pods.do("restart", (*pods.ours, pods.other))
    running_monitoring.scrape()
    return running_monitoring


@pytest.fixture(scope="session")
def lab_kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The practice ground's own API server, controllers and kubelet."""
    with lab_cluster(tmp_path_factory.mktemp("lab-kubernetes"), "127.92.1.0/24") as (cluster, _):
        yield cluster


@pytest.fixture(scope="session")
def real_kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """kube-apiserver and kube-controller-manager, with the practice ground's kubelet."""
    missing = missing_assets()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the real control plane: {missing}")
    if missing:
        pytest.skip(f"REAL KUBERNETES NOT TESTED: {missing}")
    with real_cluster(tmp_path_factory.mktemp("real-kubernetes"), "127.92.2.0/24") as (cluster, _):
        yield cluster


LONG = ("test_kubernetes_scaling", "test_kubernetes_config", "test_kubernetes_surroundings")
"""Of these many cases the real control plane's turn belongs to `./dev prove`; the other modules have theirs always."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in LONG and item.get_closest_marker("real_kubernetes"):
            item.add_marker(pytest.mark.prove)


_KINDS = [pytest.param("lab_kubernetes"), pytest.param("real_kubernetes", marks=pytest.mark.real_kubernetes)]


@pytest.fixture(params=_KINDS)
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A namespace of the test's own. Only the pace of looking is quicker than at a real site."""
    for module in ("scaling", "workloads"):
        monkeypatch.setattr(f"tasks.systems.kubernetes.{module}._POLL", 0.1)
    found = Site(request.getfixturevalue(request.param), f"t-{uuid.uuid4().hex[:8]}")
    create_namespace(found.server, found.namespace)
    yield found
    delete_namespace(found.server, found.namespace)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, as a team has it."""
    with start_postgres() as found:
        yield found


@pytest.fixture(scope="session")
def postgres_ledger(postgres: Postgres) -> str:
    """The user who has a ledger. Its tables are emptied for every test: to make them anew takes long."""
    user = postgres.create_with_clock()
    Ledger(postgres.url(user)).close()
    return user


@pytest.fixture(scope="session")
def sqlite_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger in a file, to copy."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty ledger, on either database."""
    if request.param == "sqlite":
        clock = Clock()
        file = shutil.copy(request.getfixturevalue("sqlite_ledger"), tmp_path)
        return Place(f"sqlite:///{file}", clock.turn, clock)
    postgres: Postgres = request.getfixturevalue("postgres")
    user: str = request.getfixturevalue("postgres_ledger")
    found = Place(postgres.url(user), partial(postgres.turn, user))
    postgres.set_right(user)
    with closing(found.open()) as ledger, ledger.database.writing() as tx:
        for table in reversed(metadata.sorted_tables):
            if table.name != "meta":
                tx.execute(table.delete())
    return found


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """An empty ledger, open."""
    with closing(place.open()) as found:
        yield found
