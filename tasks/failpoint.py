"""Fail points: places where a test ends or halts a run, to see what is left of it.

Nothing happens unless the environment names a plan file (`RUNBOOKS_FAILPOINTS`). The plan is one JSON object:
`{"point": "applied", "nth": 2, "act": "kill"}`. It is carried out once, by whoever reaches the point first; then the
file bears the ending `.hit`. Acts: `kill` (SIGKILL to this process), `stop` (SIGSTOP), `fail` (raise).
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

VARIABLE = "RUNBOOKS_FAILPOINTS"

_counted: Counter[str] = Counter()
_lock = threading.Lock()


class FailPoint(Exception):
    """A test wanted this call to fail."""


def _by_plan(point: str) -> None:
    path = Path(os.environ[VARIABLE])
    with _lock:
        _counted[point] += 1
        try:
            plan = json.loads(path.read_text())
        except FileNotFoundError:
            return
        if plan["point"] != point or plan.get("nth", 1) != _counted[point]:
            return
        path.rename(path.with_suffix(path.suffix + ".hit"))
    match plan["act"]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            raise FailPoint(point)


reach: Callable[[str], None] = _by_plan if os.environ.get(VARIABLE) else lambda point: None
"""Says that a point is reached. Tests in the same process may put a function of their own here."""
