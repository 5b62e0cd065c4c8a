"""A Python command of Prefect's as a process of its own, run to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tasks.version import ROOT


class CommandFailed(Exception):
    """The command did not do its work; the text is its last word, or that it took too long."""


def run_module(module: Sequence[str], environment: Mapping[str, str], within: float) -> None:
    """Runs `python -m` with these arguments and, beside our own, these variables; `within` is in seconds.

    Raises:
        CommandFailed: it ended with an error, or not in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=within,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"not done within {within:g} s") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise CommandFailed(last[0])
