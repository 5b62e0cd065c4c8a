"""A storm of alerts while everything of ours is killed in turn: nothing is lost, and one run acts on each target."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.stack import INTAKE, SERVER, WORKER
from tasks.ledger import ChangeState
from tests.live.conftest import World
from tests.live.storm import ENOUGH, post_until_taken, storming
from tests.waiting import wait_for

pytestmark = pytest.mark.live
_ARRIVED = (ChangeState.APPLIED, ChangeState.IN_EFFECT, ChangeState.FAILED)
RUNBOOK = "high_task_queue_depth"
ALERT = "HighTaskQueueDepth"


def alert(site: str, number: int) -> dict[str, Any]:
    labels = {"alertname": ALERT, "site": site, "pod": f"orchestration-{number}"}
    return {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat(), "fingerprint": f"{number}"}


def batches(sites: tuple[str, ...], alerts: int, seed: int) -> list[dict[str, Any]]:
    """The alerts in groups of up to five, mixed."""
    every = [alert(site, number) for number in range(alerts // len(sites)) for site in sites]
    random.Random(seed).shuffle(every)  # noqa: S311, the same storm each time
    return [{"version": "4", "alerts": every[at : at + 5]} for at in range(0, len(every), 5)]


@pytest.mark.parametrize(
    ("targets", "alerts", "killed", "seconds"),
    [
        pytest.param(6, 120, (INTAKE,), 240, id="small", marks=pytest.mark.prove),
        pytest.param(50, 1000, (INTAKE, SERVER, WORKER), 900, id="large", marks=pytest.mark.prove),
    ],
)
@pytest.mark.timeout(1200)
def test_nothing_is_lost_and_one_run_acts_on_each_target(
    healthy: World, tmp_path: Path, targets: int, alerts: int, killed: tuple[str, ...], seconds: float
) -> None:
    since = datetime.now(UTC)
    names = tuple(f"storm-{targets}-{number:02}" for number in range(targets))
    with storming(healthy, names, tmp_path) as buses:
        wait_for("the Deployments", lambda: buses.settled, 240)
        wait_for("the intake to know the sites", lambda: _known(healthy, names), 60)
        _post(healthy, batches(names, alerts, targets), killed)
        opened = [one for one in healthy.ledger.incidents.latest(2 * targets) if one.site in names]
        assert Counter(one.site for one in opened) == Counter(names), "one incident for each target, no alert is lost"
        wait_for("every target to be treated", lambda: _treated(healthy, names), seconds)
        raised = Counter(
            record.namespace
            for record in healthy.writes(since, accepted=True)
            if record.namespace in names and _scales_to(record.body) == ENOUGH
        )
        assert raised == Counter(names), "each Deployment was scaled out once"
        assert _outcomes(healthy, names) == {"Recovered": targets}


def _known(world: World, names: tuple[str, ...]) -> bool:
    listed = {one.address.site for one in world.ledger.directory.all()}
    return set(names) <= listed


def _post(world: World, storm: list[dict[str, Any]], killed: tuple[str, ...]) -> None:
    """Posts the storm from several senders, while one part after the other is killed and started again."""
    url, token = world.at.webhook.url, world.at.webhook.token
    shares = [storm[at :: len(killed) + 1] for at in range(len(killed) + 1)]
    start = {INTAKE: world.stack.start_intake, SERVER: world.stack.start_server, WORKER: world.stack.start_worker}
    with ThreadPoolExecutor(8) as senders:
        for share, part in itertools.zip_longest(shares, killed):
            sent = [senders.submit(post_until_taken, url, token, batch, 300) for batch in share]
            if part is not None:
                world.stack.kill(part)
                start[part]()
            for one in sent:
                one.result()
    world.stack.await_intake()


def _scales_to(body: Any) -> int | None:
    return body.get("spec", {}).get("replicas") if isinstance(body, dict) else None


def _treated(world: World, names: tuple[str, ...]) -> bool:
    """Whether every incident of the storm is over."""
    return not any(one.site in names for one in world.ledger.incidents.still_open())


def _outcomes(world: World, names: tuple[str, ...]) -> dict[str, int]:
    """How the runs ended that changed something, to give back not counted. That a change was not in effect in time is
    none of their business here: fifty targets' new pods start on two cores."""
    acted = [
        run
        for run in world.ledger.runs.latest(20 * len(names))
        if run.site in names
        and run.runbook == RUNBOOK
        and any(change.state in _ARRIVED for change in world.ledger.changes.of_run(run.id))
    ]
    return dict(Counter(run.outcome.value if run.outcome else "none" for run in acted))
