"""Readiness and liveness probes: httpGet and tcpSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from lab.kubernetes.objects import Object


class ProbeError(Exception):
    """One attempt failed; the message is what `kubectl describe` shows."""


@dataclass(frozen=True)
class Schedule:
    """When a probe runs and what its results mean; times in seconds."""

    initial_delay: float
    period: float
    limit: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def of(cls, probe: Object) -> Schedule:
        return cls(
            float(probe.get("initialDelaySeconds", 0)),
            float(probe.get("periodSeconds", 10)),
            float(probe.get("timeoutSeconds", 1)),
            int(probe.get("successThreshold", 1)),
            int(probe.get("failureThreshold", 3)),
        )


class Prober:
    """Attempts probes against a pod's address."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def watch(
        self,
        container: Object,
        probe: Object,
        address: str,
        on_result: Callable[[bool], None],
        on_failure: Callable[[str], None],
    ) -> None:
        """Runs one probe for ever; `on_result` hears when a threshold is reached, `on_failure` each failed attempt."""
        schedule = Schedule.of(probe)
        await asyncio.sleep(schedule.initial_delay)
        successes = failures = 0
        while True:
            try:
                await self.attempt(container, probe, address, schedule.limit)
                successes, failures = successes + 1, 0
                if successes >= schedule.success_threshold:
                    on_result(True)
            except ProbeError as error:
                successes, failures = 0, failures + 1
                on_failure(str(error))
                if failures >= schedule.failure_threshold:
                    failures = 0
                    on_result(False)
            await asyncio.sleep(schedule.period)

    async def attempt(self, container: Object, probe: Object, address: str, limit: float) -> None:
        """One attempt within `limit` seconds. Raises ProbeError."""
        if "httpGet" in probe:
            await self._http(container, probe["httpGet"], address, limit)
        elif "tcpSocket" in probe:
            await _connect(container, probe["tcpSocket"], address, limit)
        else:
            raise ProbeError("this kubelet knows httpGet and tcpSocket probes only")

    async def _http(self, container: Object, action: Object, address: str, limit: float) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, force_close=True, limit=0))
        host, port = action.get("host") or address, _port(container, action["port"])
        url = f"{action.get('scheme', 'HTTP').lower()}://{host}:{port}{action.get('path', '/')}"
        headers = {"User-Agent": "kube-probe/1.32"} | {
            each["name"]: each["value"] for each in action.get("httpHeaders") or ()
        }
        try:
            total = aiohttp.ClientTimeout(total=limit)
            async with self._session.get(url, headers=headers, timeout=total, allow_redirects=False) as answer:
                if not 200 <= answer.status < 400:
                    raise ProbeError(f"HTTP probe failed with statuscode: {answer.status}")
        except TimeoutError as error:
            raise ProbeError(f'Get "{url}": context deadline exceeded') from error
        except aiohttp.ClientConnectorError as error:
            raise ProbeError(f'Get "{url}": dial tcp {host}:{port}: {error.os_error.strerror}') from error
        except aiohttp.ClientError as error:
            raise ProbeError(f'Get "{url}": {error!r}') from error


async def _connect(container: Object, action: Object, address: str, limit: float) -> None:
    host, port = action.get("host") or address, _port(container, action["port"])
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), limit)
    except (OSError, TimeoutError) as error:
        raise ProbeError(f"dial tcp {host}:{port}: {str(error) or 'i/o timeout'}") from error
    writer.close()


def _port(container: Object, port: int | str) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    raise ProbeError(f"couldn't find port: {port!r} in {container['name']}")
