"""Where Alertmanager would send an alert: the doctor says the same as Alertmanager's own tool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.doctor.routes import receivers_of
from tests.contract.servers import need

pytestmark = pytest.mark.live

RECEIVERS = ["default", "pager", "runbooks", "chat"]
LABELS = ["alertname", "severity", "site"]
VALUES = ["High", "Highest", "prod", "critical", "a b", "x.y", ""]
PATTERNS = ["High.*", "prod|test", ".+", "", "crit", "[a-x].y"]

matcher = st.builds(
    lambda label, operator, value, pattern: f'{label}{operator}"{pattern if "~" in operator else value}"',
    st.sampled_from(LABELS),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(VALUES),
    st.sampled_from(PATTERNS),
)
two = st.tuples(matcher, matcher).map(lambda both: "{" + ", ".join(both) + "}")


def route(below: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A route, with all spellings of its matchers."""
    old = st.dictionaries(st.sampled_from(LABELS), st.sampled_from(VALUES), max_size=2)
    patterns = st.dictionaries(st.sampled_from(LABELS), st.sampled_from(PATTERNS), max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "receiver": st.sampled_from(RECEIVERS),
            "matchers": st.lists(matcher | two, max_size=2),
            "match": old,
            "match_re": patterns,
            "continue": st.booleans(),
            "routes": below,
        },
    )


routes: st.SearchStrategy[list[dict[str, Any]]] = st.recursive(
    st.just([]), lambda below: st.lists(route(below), max_size=3), max_leaves=6
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    below=routes, labels=st.dictionaries(st.sampled_from(LABELS), st.sampled_from(VALUES[:-1]), min_size=1, max_size=3)
)
def test_as_alertmanager_routes(tmp_path: Path, below: list[dict[str, Any]], labels: dict[str, str]) -> None:
    amtool = need("prometheus-alertmanager", "amtool")
    tree = {"receiver": "default", "routes": below}
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump({"route": tree, "receivers": [{"name": name} for name in RECEIVERS]}))
    shown = [f'{name}="{value}"' for name, value in labels.items()]
    command = [amtool, "config", "routes", "test", f"--config.file={file}", *shown]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert receivers_of(tree, labels) == done.stdout.strip().split(",")
