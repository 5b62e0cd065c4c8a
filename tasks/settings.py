"""Where this installation keeps its things, from the environment (`RUNBOOKS_*`)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.contacts import Channel


def data_folder() -> Path:
    """The folder for data that must survive a restart, by the XDG rules."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "prefect-runbooks"


def cache_folder() -> Path:
    """The folder for what can be made again, by the XDG rules."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "prefect-runbooks"


def _default_ledger() -> str:
    return f"sqlite:///{data_folder() / 'ledger.db'}"


class Settings(BaseSettings):
    """Settings of the installation; those of a site are in its block."""

    model_config = SettingsConfigDict(env_prefix="RUNBOOKS_", frozen=True)

    ledger: str = Field(default_factory=_default_ledger, description="SQLAlchemy URL of the ledger")
    pause_file: Path = Field(
        default_factory=lambda: data_folder() / "PAUSED",
        description="While this file exists on a worker, its runs write nothing; its text is the reason",
    )
    worker_folder: Path = Field(
        default_factory=lambda: data_folder() / "workers",
        description="Where workers note which process executes which run",
    )
    intake_token: SecretStr | None = Field(default=None, description="Bearer token that the alert intake demands")
    last_resort: list[Channel] = Field(
        default_factory=list,
        description="Channels that are told when the automation itself does not work, besides those of the sites",
    )
    heartbeat_url: SecretStr | None = Field(
        default=None, description="Address that the intake calls every minute while all is well: a dead man's switch"
    )
    unclaimed_seconds: float = Field(
        default=60, gt=0, description="An incident that no run has claimed for so long is started once more (seconds)"
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
