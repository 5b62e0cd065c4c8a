"""`prefect.yaml`, made from the runbooks: a deployment each, started by hand or by its incident's event.

`python -m deployments.manifest` writes it; a test holds the committed file against this.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import prefect
import yaml

from flows.catalogue import FLOWS, RUNBOOKS
from flows.checks.health_check import INTERVAL, health_check
from flows.incidents.restore import INTERVAL as RESTORE_INTERVAL
from flows.incidents.restore import restore
from tasks.incidents import OPENED, RESOURCE
from tasks.runbook import AnyRunbook

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "prefect.yaml"
WORK_POOL = "runbooks"

_HEAD = """\
# Made from the runbooks by `python -m deployments.manifest`. Do not edit: a test holds it against them.
# Deploy with:  prefect --no-prompt deploy --all
"""


def manifest() -> dict[str, Any]:
    """The content of `prefect.yaml`."""
    return {
        "name": "prefect-runbooks",
        "prefect-version": prefect.__version__,
        "deployments": [*(_runbook(runbook) for runbook in RUNBOOKS.values()), _health_check(), _restore()],
    }


def _runbook(runbook: AnyRunbook) -> dict[str, Any]:
    flow = FLOWS[runbook.id]
    return {
        "name": runbook.slug,
        "entrypoint": _entrypoint(flow.fn),
        "description": inspect.getdoc(inspect.getmodule(flow.fn)),
        "tags": ["runbook", runbook.platform.slug(), runbook.severity.value],
        "work_pool": {"name": WORK_POOL},
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
        "tags": ["health-check"],
        "work_pool": {"name": WORK_POOL},
        "schedules": [{"interval": int(INTERVAL.total_seconds()), "active": True}],
        # A check that takes longer than the interval is not joined by another one.
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }


def _restore() -> dict[str, Any]:
    return {
        "name": restore.name,
        "entrypoint": _entrypoint(restore.fn),
        "description": inspect.getdoc(inspect.getmodule(restore.fn)),
        "tags": ["restore"],
        "work_pool": {"name": WORK_POOL},
        "parameters": {"site": ""},
        "schedules": [{"interval": int(RESTORE_INTERVAL.total_seconds()), "active": True}],
        # One at a time: two would take each other's locks.
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }


def _entrypoint(function: Any) -> str:
    path = Path(inspect.getfile(function)).resolve().relative_to(ROOT)
    return f"{path.as_posix()}:{function.__name__}"


class _Dumper(yaml.SafeDumper):
    """Indents lists under their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def render() -> str:
    """The text of `prefect.yaml`."""
    return _HEAD + yaml.dump(manifest(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    MANIFEST.write_text(render())
