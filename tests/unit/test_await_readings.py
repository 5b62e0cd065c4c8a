"""How long a run waits for readings that are missing before it gives up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tasks import validate
from tasks.platform import Pace
from tasks.systems.metrics import MissingMetric
from tests.unit.inline import inline_case
from tests.unit.standin import standin


@pytest.mark.parametrize(("back_after", "seconds"), [(3, 4), (None, 10)])
def test_missing_readings_are_waited_for_as_long_as_a_sample_may_be_old(
    monkeypatch: pytest.MonkeyPatch, back_after: float | None, seconds: float
) -> None:
    """Looked for every two seconds; ten are the most."""
    now = [0.0]
    platform = standin()
    platform.pace = Pace(poll_seconds=2, stale_after_seconds=10)
    platform.answers.value = MissingMetric("nobody exports it")
    case = inline_case(monkeypatch, platform=platform)

    def sleep(for_seconds: float) -> None:
        now[0] += for_seconds
        if back_after is not None and now[0] >= back_after:
            platform.answers.value = 900

    monkeypatch.setattr(validate, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    assert validate.await_readings(case, 10) == seconds
    assert now == [seconds]
