"""`prefect.yaml`, made from the runbooks: a deployment each, started by hand or by its incident's event.

`python -m deployments.manifest` writes it; a test holds the committed file against this.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import prefect
import yaml

from flows.catalogue import FLOWS, RUNBOOKS
from flows.checks.health_check import INTERVAL, health_check
from flows.incidents.escalate import escalate
from flows.incidents.restore import AT_ONCE, restore
from flows.incidents.restore import INTERVAL as RESTORE_INTERVAL
from tasks.incidents import OPENED, RESOURCE
from tasks.runbook import AnyRunbook
from tasks.version import ROOT

MANIFEST = ROOT / "prefect.yaml"
WORK_POOL = "runbooks"

# By their tags automations tell runs apart. A lifecycle flow looks after others: it bears none of their tags, so that
# nothing that becomes of it starts another one.
RUNBOOK_TAG, RESTORE_TAG, CHECK_TAG, LIFECYCLE_TAG = "runbook", "restore", "health-check", "lifecycle"
HEARTBEAT = timedelta(seconds=30)  # the shortest that Prefect takes
ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(int(HEARTBEAT.total_seconds()))}
_BEATING = {"env": ENVIRONMENT}
# Else Prefect records the commit in a checkout that has a remote, and the flow's file in any other. A change that is
# not committed would go unnoticed, and the doctor could not compare.
_BY_FILE = {"version_type": "prefect:simple"}

_HEAD = """\
# Made from the runbooks by `python -m deployments.manifest`. Do not edit: a test holds it against them.
# Deploy with:  prefect --no-prompt deploy --all
"""


def manifest() -> dict[str, Any]:
    """The content of `prefect.yaml`."""
    return {
        "name": "prefect-runbooks",
        "prefect-version": prefect.__version__,
        "deployments": [
            {**one, **_BY_FILE} for one in (*map(_runbook, RUNBOOKS.values()), _health_check(), _restore(), _escalate())
        ],
    }


def _runbook(runbook: AnyRunbook) -> dict[str, Any]:
    flow = FLOWS[runbook.id]
    return {
        "name": runbook.slug,
        "entrypoint": _entrypoint(flow.fn),
        "description": inspect.getdoc(inspect.getmodule(flow.fn)),
        "tags": [RUNBOOK_TAG, runbook.platform.slug(), runbook.severity.value],
        "work_pool": _pool(),
        "triggers": [
            {
                "name": f"{runbook.slug} on incident",
                "type": "event",
                "posture": "Reactive",
                "match": {"prefect.resource.id": f"{RESOURCE}.*", "runbook": runbook.id},
                "expect": [OPENED],
                "for_each": ["prefect.resource.id"],
                "threshold": 1,
                "within": 0,
                "parameters": {
                    "site": "{{ event.resource['site'] }}",
                    "incident": "{{ event.resource['incident'] }}",
                },
            }
        ],
    }


def _health_check() -> dict[str, Any]:
    return {
        "name": health_check.name,
        "entrypoint": _entrypoint(health_check.fn),
        "description": inspect.getdoc(inspect.getmodule(health_check.fn)),
        "tags": [CHECK_TAG],
        "work_pool": _pool(),
        "schedules": [{"interval": int(INTERVAL.total_seconds()), "active": True}],
        # A check that takes longer than the interval is not joined by another one.
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }


def _restore() -> dict[str, Any]:
    return {
        "name": restore.name,
        "entrypoint": _entrypoint(restore.fn),
        "description": inspect.getdoc(inspect.getmodule(restore.fn)),
        "tags": [RESTORE_TAG],
        "work_pool": _pool(),
        "parameters": {"site": ""},
        "schedules": [{"interval": int(RESTORE_INTERVAL.total_seconds()), "active": True}],
        # Those that the watch starts, and one more: the ledger's locks keep two from the same target, and what is
        # cancelled comes again.
        "concurrency_limit": {"limit": AT_ONCE + 1, "collision_strategy": "CANCEL_NEW"},
    }


def _escalate() -> dict[str, Any]:
    return {
        "name": escalate.name,
        "entrypoint": _entrypoint(escalate.fn),
        "description": inspect.getdoc(inspect.getmodule(escalate.fn)),
        "tags": [LIFECYCLE_TAG],
        "work_pool": _pool(),
        # A storm of failures waits for its turn, and leaves the worker to the runbooks.
        "concurrency_limit": {"limit": 3, "collision_strategy": "ENQUEUE"},
        "triggers": [
            {
                "name": "escalate on failed or crashed run",
                "type": "event",
                "posture": "Reactive",
                # The type of the state: its name, of which the event is called, says how a run ended.
                "match": {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": ["FAILED", "CRASHED"]},
                "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{RUNBOOK_TAG}"},
                "expect": ["prefect.flow-run.*"],
                "for_each": ["prefect.resource.id"],
                "threshold": 1,
                "within": 0,
                "parameters": {"run": "{{ event.resource['prefect.resource.id'].split('.')[-1] }}"},
            }
        ],
    }


def _pool() -> dict[str, Any]:
    return {"name": WORK_POOL, "job_variables": _BEATING}


def _entrypoint(function: Any) -> str:
    path = Path(inspect.getfile(function)).resolve().relative_to(ROOT)
    return f"{path.as_posix()}:{function.__name__}"


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """What is there twice is written twice."""
        return True


def render() -> str:
    """The text of `prefect.yaml`."""
    return _HEAD + yaml.dump(manifest(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    MANIFEST.write_text(render())
