"""The command line: `runbooks`."""

from deployments.cli.main import main

__all__ = ["main"]
