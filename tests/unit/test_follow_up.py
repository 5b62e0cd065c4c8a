"""What giving a number back brings with it: nobody is asked, so nothing may be lost by it."""

from __future__ import annotations

import pytest

from flows.message_bus.platform import MessageBus
from tasks.model.target import Target
from tests.unit.message_bus import bus

CONFIG = Target("configmap", "bus", "orchestration-config")


@pytest.mark.parametrize(
    ("requeues", "larger", "restarts"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_pool_size_is_given_back_with_a_rollout_only_where_tasks_survive_it(
    monkeypatch: pytest.MonkeyPatch, requeues: bool, larger: bool, restarts: bool
) -> None:
    monkeypatch.setattr(MessageBus, "_configured_pool_size", lambda site: 10)
    monkeypatch.setattr(MessageBus, "_pools_are_larger", lambda site, size: larger)
    site = bus(requeues_on_stop=requeues)
    assert (site.follow_up(CONFIG, site.pool_size_key) is not None) is restarts
    assert site.follow_up(CONFIG, "replicas") is None
