"""The flows of this installation, which a template has imported before any run needs them."""

from __future__ import annotations

import inspect
import os
from typing import Any

from prefect import Flow

from flows.catalogue import FLOWS
from flows.checks.health_check import health_check
from flows.incidents.escalate import escalate
from flows.incidents.restore import restore
from tasks.version import ROOT


def own_flows() -> dict[str, Flow[..., Any]]:
    """All of them, by the entrypoint that their deployment names."""
    flows = (*FLOWS.values(), health_check, restore, escalate)
    return {f"{os.path.relpath(inspect.getfile(flow.fn), ROOT)}:{flow.fn.__name__}": flow for flow in flows}
