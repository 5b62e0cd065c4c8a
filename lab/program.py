"""A program of the ground: how it is started, and where one sees that it is ready."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lab import plain_http, servers


class Program(BaseModel):
    """One of the ground's processes, before it runs and while it does. At most one of the signs of readiness is set."""

    model_config = ConfigDict(frozen=True)

    name: str
    command: tuple[str, ...]
    ready_file: Path | None = None
    """The program touches it when it is ready."""
    ready_page: str | None = None
    """It can be had over HTTP when the program is ready."""
    redis_url: str | None = None
    """Redis answers there when it is ready."""

    def forget_readiness(self) -> None:
        """Remove the sign that an earlier process has left."""
        if self.ready_file is not None:
            self.ready_file.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether the program says that it is; one that never says is taken for ready."""
        if self.ready_file is not None:
            return self.ready_file.exists()
        if self.ready_page is not None:
            return plain_http.get(self.ready_page) is not None
        return self.redis_url is None or servers.redis_answers(self.redis_url)
