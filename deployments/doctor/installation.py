"""The looks at the installation: what all sites share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deployments.doctor import clocks, deployed, intake, ledger, packages, pools, triggers
from deployments.doctor.finding import Finding
from deployments.doctor.looks import Look
from deployments.manifest import manifest


def apart_from_prefect(url: str, intake_url: str) -> Iterator[Look]:
    """What can be looked at although the Prefect server does not answer. `url` is the ledger's."""
    yield Look("Python and packages", lambda: packages.judge(packages.read()))
    yield Look("ledger", lambda: ledger.judge(ledger.read(url)))
    yield Look("alert intake", lambda: intake.judge(intake_url, intake.read(intake_url)))
    if not url.startswith("sqlite"):
        yield Look("clock of the ledger", lambda: clocks.judge("the ledger", clocks.of_ledger(url)))


def in_prefect(url: str) -> Iterator[Look]:
    """What the Prefect server is asked. `url` is the ledger's."""
    yield Look("ledger of the installation", lambda: ledger.judge_identities(*ledger.read_identities(url)))
    yield Look("clock of the Prefect server", lambda: clocks.judge("the Prefect server", clocks.of_prefect()))
    entries = manifest()["deployments"]
    for entry in entries:
        yield Look(f"deployment {entry['name']}", partial(_deployment, entry))
        if entry.get("triggers"):
            yield Look(f"triggers of {entry['name']}", partial(_triggers, entry))
    yield Look("automations", _automations)
    for pool in dict.fromkeys(str(entry["work_pool"]["name"]) for entry in entries):
        yield Look(f"work pool {pool}", partial(_pool, pool))


def _deployment(entry: dict[str, Any]) -> Iterable[Finding]:
    wanted = deployed.listed(entry)
    return deployed.judge(wanted, deployed.read(wanted), datetime.now(UTC))


def _triggers(entry: dict[str, Any]) -> Iterable[Finding]:
    return [finding for trigger in triggers.read(entry) for finding in triggers.judge(trigger)]


def _automations() -> Iterable[Finding]:
    return [finding for told in triggers.read_others() for finding in triggers.judge_other(told)]


def _pool(name: str) -> Iterable[Finding]:
    return pools.judge(name, pools.read(name))
