"""A step of a runbook on the practice ground's API server and on the real one, with the guards that judge it by what
the cluster says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.message_bus import probes
from flows.message_bus.critical_task_queue_depth import RUNBOOK as CRITICAL
from flows.message_bus.high_task_queue_depth import RUNBOOK
from flows.message_bus.platform import MessageBus
from tasks.ledger import ClaimState
from tasks.mitigate import mitigate
from tasks.model.change import Purpose
from tasks.model.decision import Step, Weighed, Yes
from tasks.model.outcome import Outcome
from tasks.model.refusal import Refusal
from tasks.platform import Pace
from tasks.restore import Fate, groups, restore_group
from tasks.sites import Site as SavedSite
from tests.contract.kubernetes import (
    CONFIGMAP,
    KEY,
    NAME,
    SICK,
    Site,
    data,
    floor,
    restart,
    settings,
    uids,
    workload,
)
from tests.unit.inline import SITE, InlineCase, begin, inline_case, inline_restores
from tests.unit.ledgers import fresh_ledger
from tests.waiting import wait_for

# The real control plane of these tests has a certificate of its own making.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]


def run(site: Site, monkeypatch: pytest.MonkeyPatch) -> InlineCase:
    """A run at the site, without Prefect."""
    return inline_case(monkeypatch, runbook=RUNBOOK, platform=site.bus())


def grow(*steps: Step) -> Weighed:
    """The document's option."""
    return Weighed("grow worker pools", "Option 2", Yes("needed", steps))


def test_the_next_run_does_not_restart_again_what_a_killed_one_had_restarted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create(workload(1))
    case = run(site, monkeypatch)
    killed = restart(site, datetime.now(UTC))
    case.hold(killed.target)
    diff = killed.diff()
    case.intend("grow worker pools", killed, diff, Purpose.CHANGE, None)
    killed.apply(diff)
    again = restart(site, datetime.now(UTC) + timedelta(seconds=1))
    assert again.diff().needed, "for a reason of its own it would be another one"
    assert not mitigate(case, grow((again,))).changed
    assert len(site.writes()) == 1
    case.ledger.close()


def test_setting_and_restart_as_one_step(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create(settings(**{KEY: "10"}), workload(1, sources=[CONFIGMAP]))
    pods, size = uids(site), probes.pool_size(site.bus()).read().value
    assert (size.configured, size.holder.name) == (10, CONFIGMAP)
    case = run(site, monkeypatch)
    step = (floor(site, 15), restart(site, size.read_at))
    attempt = mitigate(case, grow(step))
    assert attempt.changed, attempt
    assert data(site) == {KEY: "15"}
    assert not uids(site) & pods
    assert [write.what for write in site.writes()] == [f"configmaps/{CONFIGMAP}", f"deployments/{NAME}"]
    assert [(str(c.claim), c.state) for c in case.ledger.claims.of_run("run-1")] == [("at least 15", ClaimState.OPEN)]
    assert not mitigate(case, grow(step)).changed
    assert len(site.writes()) == 2, "a repeat finds everything as wanted"
    case.ledger.close()


def test_a_step_of_which_one_change_cannot_be_made_writes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The restart cannot be made, so the setting is not begun."""
    site.create(settings(**{KEY: "10"}), workload(0, sources=[CONFIGMAP], strategy={"type": "Recreate"}))
    case = run(site, monkeypatch)
    attempt = mitigate(case, grow((floor(site, 15), restart(site, datetime.now(UTC)))))
    assert [refused.refusal for refused in attempt.refusals] == [Refusal.PRECONDITION]
    assert (data(site), site.writes()) == ({KEY: "10"}, [])
    case.ledger.close()


GUARDED: list[tuple[str, dict[str, Any], Refusal]] = [
    ("paused", {"spec": {"paused": True}}, Refusal.ROLLOUT_IN_PROGRESS),
    (
        "would lose the last one",
        {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}},
        Refusal.BELOW_THE_FLOOR,
    ),
]


@pytest.mark.parametrize(("patch", "refusal"), [row[1:] for row in GUARDED], ids=[row[0] for row in GUARDED])
def test_guards_refuse_a_restart_by_what_the_cluster_says(
    site: Site, monkeypatch: pytest.MonkeyPatch, patch: dict[str, Any], refusal: Refusal
) -> None:
    site.create(workload(1))
    site.patch("Deployment", NAME, patch)
    case = run(site, monkeypatch)
    attempt = mitigate(case, grow((restart(site, datetime.now(UTC)),)))
    assert [refused.refusal for refused in attempt.refusals] == [refusal]
    assert site.writes() == []
    case.ledger.close()


def test_no_restart_while_most_pods_are_sick(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    document = workload(2)
    document["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = SICK
    site.create(document, settled=False)
    wait_for("two pods", lambda: len(site.pods()) == 2)
    case = run(site, monkeypatch)
    attempt = mitigate(case, grow((restart(site, datetime.now(UTC)),)))
    assert [refused.refusal for refused in attempt.refusals] == [Refusal.TOO_MANY_SICK]
    assert site.writes() == []
    case.ledger.close()


def test_what_helm_owns_is_left_to_helm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = settings(**{KEY: "10"})
    owned["metadata"]["annotations"] = {"meta.helm.sh/release-name": "bus"}
    site.create(owned, workload(0, sources=[CONFIGMAP]))
    case = run(site, monkeypatch)
    attempt = mitigate(case, grow((floor(site, 15),)))
    assert [refused.refusal for refused in attempt.refusals] == [Refusal.OWNED]
    assert site.writes() == []
    case.ledger.close()
    tolerant = inline_case(monkeypatch, runbook=RUNBOOK, platform=site.bus(limits={"tolerated_owners": ["Helm"]}))
    assert mitigate(tolerant, grow((floor(site, 15),))).changed
    tolerant.ledger.close()


def test_a_read_only_account_changes_nothing_and_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.create(settings(**{KEY: "10"}), workload(0, sources=[CONFIGMAP]))
    case = run(site, monkeypatch)
    attempt = mitigate(case, grow((floor(site, 15, account="viewer"),)))
    assert not attempt.changed
    assert "Kubernetes forbids it (403)" in attempt.detail
    assert [write.code for write in site.writes()] == [403], "asked once, and not again"
    assert [c.state for c in case.ledger.claims.of_run("run-1")] == [ClaimState.WITHDRAWN]
    case.ledger.close()


def test_pools_given_back_in_two_steps_are_rolled_out_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The critical runbook's claim goes first, then the other's, in one restore: the last pods have the baseline."""

    def metrics(bus: MessageBus) -> None:
        raise ConnectionError("nobody answers")  # so that it cannot be told how large the pools are

    monkeypatch.setattr(MessageBus, "metrics", metrics)
    site.create(settings(**{KEY: "10"}), workload(1, sources=[CONFIGMAP]))
    quick = Pace.model_validate({"give_back_seconds": 0.01})
    bus, ledger = site.bus(pace=quick, requeues_on_stop=True), fresh_ledger()
    for name, runbook, workers in (("run-1", RUNBOOK, 15), ("run-2", CRITICAL, 20)):
        case = inline_case(monkeypatch, runbook=runbook, platform=bus, ledger=ledger, run=name)
        assert mitigate(case, grow((floor(site, workers),))).changed
        case.let_go()
        ledger.runs.end(name, Outcome.RECOVERED, "", None)
    inline_restores(monkeypatch)
    begin(ledger, "restore-1")
    waiting = {group.runbook.id: group for group in groups(ledger, {r.id: r for r in (RUNBOOK, CRITICAL)}, SITE)}
    pods = [uids(site)]
    for runbook, left in ((CRITICAL, "15"), (RUNBOOK, "10")):
        told = restore_group(ledger, "restore-1", SavedSite(SITE, bus), waiting[runbook.id], force=True)
        assert [line.fate for line in told] == [Fate.GIVEN_BACK], told
        assert data(site)[KEY] == left
        pods.append(uids(site))
    assert not pods[0] & pods[1]
    assert not pods[1] & pods[2], "the pods that read 15 are gone"
    ledger.close()
