"""A client of the admin port: health and metrics of a process."""

import os
import signal
from collections.abc import Mapping

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.support.forked import ServiceProcess
from tests.support.running import NO_TLS
from tests.support.waiting import DEADLINE_S

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels."""


class HealthAnswer(msgspec.Struct, frozen=True):
    """The answer to a probe."""

    status: int
    reason: str


class AdminPort:
    """Sends requests as a probe and a Prometheus server do."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def environment(self) -> dict[str, str]:
        return {"AFTERTONE_ADMIN_PORT": str(self.port)}

    async def health(self, name: str) -> HealthAnswer:
        answer = await self._get(f"/health/{name}")
        return HealthAnswer(answer.status_code, answer.json().get("reason", ""))

    async def is_ready(self) -> bool:
        """Also false while no process listens on the port."""
        try:
            return (await self.health("ready")).status == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def _get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=DEADLINE_S, verify=NO_TLS) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def text(self) -> str:
        answer = await self._get("/metrics")
        assert answer.status_code == httpx.codes.OK
        return answer.text

    async def samples(self) -> Samples:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(await self.text())
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float:
        """Value of one series; -1 when it is absent."""
        return (await self.samples()).get((name, frozenset(labels.items())), -1)

    async def shows(self, value: float, name: str, **labels: str) -> bool:
        return await self.value(name, **labels) == value


def terminate(child: ServiceProcess) -> None:
    """Sends SIGTERM, as a supervisor does."""
    os.kill(child.pid, signal.SIGTERM)
