"""One receiver for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.notify.channels import CHANNELS, Channel
from tests.contract.receiver import Receiver, receiving


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the machine on which the tests run."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def receiver(shared_receiver: Receiver) -> Receiver:
    shared_receiver.arrived.clear()
    return shared_receiver


@pytest.fixture(params=list(CHANNELS))
def channel(request: pytest.FixtureRequest) -> Channel:
    return CHANNELS[request.param]
