"""A real Prometheus scrapes running processes; the dashboard queries return data."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service.embedded.child import Child, Command
from tests.deploy import monitoring
from tests.support.admin import AdminPort
from tests.support.ports import free_port
from tests.support.running import NO_TLS, AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

PROMETHEUS = shutil.which("prometheus")

# Series that exist only after failures.
_ONLY_IN_TROUBLE = ("aftertone_sql_errors_total", "aftertone_s3_errors_total", 'status=~"5.."')
_KINDS = {
    "api": ["api"],
    "relay": ["relay"],
    "notifier": ["notifier", "webhook", "mwi", "callback"],
}


@pytest.mark.long
@pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not there (Debian's package prometheus)"
)
async def test_every_dashboard_query_returns_series_of_running_processes(
    service: RunningService, account: AccountClient, tmp_path: Path
) -> None:
    async with scraped_processes(service) as ports, prometheus(ports, tmp_path) as client:
        await client.has_scraped(ports)
        await some_traffic(service, account)
        await wait_until(lambda: client.finds('aftertone_deliveries_total{result="retry"} > 0'))
        await wait_until(lambda: client.finds("aftertone_count_drift"))
        await wait_until(lambda: client.finds("aftertone_event_latency_seconds_count > 0"))
        # A rate needs two scrapes after the last change.
        await wait_until(lambda: finds_all(client, usual_queries()))
        is_firing = {rule.alert: await client.finds(rule.expr) for rule in monitoring.rules()}

    # The webhook without a server.
    log = (service.folder / "scraped-keeper-once.log").read_text()
    assert [alert for alert, firing in is_firing.items() if firing] == [
        "AftertoneDeliveriesFailing"
    ], log


def usual_queries() -> list[str]:
    """Returns the dashboard queries that have data even without failures."""
    return [
        query
        for query in monitoring.dashboard_queries()
        if not any(sign in query for sign in _ONLY_IN_TROUBLE)
    ]


async def finds_all(prometheus: "PrometheusClient", queries: list[str]) -> bool:
    return all([await prometheus.finds(query) for query in queries])


@pytest.mark.long
async def test_exported_series_have_the_defined_labels(
    service: RunningService, account: AccountClient
) -> None:
    series = monitoring.known_series()
    async with scraped_processes(service) as ports:
        await some_traffic(service, account)
        for port in ports.values():
            for name, labels in await port.samples():
                if name.startswith("aftertone_"):
                    names = {label for label, _ in labels}
                    assert names - {"le"} == series[name] - monitoring.SCRAPE_LABELS - {"le"}, name


@asynccontextmanager
async def scraped_processes(service: RunningService) -> AsyncIterator[dict[str, AdminPort]]:
    """Starts one process of each kind, with an API that receives no other requests."""
    await asyncio.gather(*(service.processes[name].stop() for name in ("api", "relay")))
    ports = {kind: AdminPort(free_port()) for kind in _KINDS}
    children = [
        Child(kind, command(service, kind, *arguments, **ports[kind].environment))
        for kind, arguments in _KINDS.items()
    ]
    await asyncio.gather(*(child.start() for child in children))
    try:
        for port in ports.values():
            await wait_until(port.is_ready)
        yield ports
    finally:
        await asyncio.gather(*(child.stop() for child in children))
        await asyncio.gather(service.start("api"), service.start("relay"))


async def some_traffic(service: RunningService, account: AccountClient) -> None:
    """Causes activity for all panels, including a webhook without a server."""
    hook = {"name": "w", "uri": f"http://127.0.0.1:{free_port()}/", "hook": "all"}
    data_of(await account.http.put(account.path("webhooks"), json={"data": hook}), 201)
    vmbox_id = await account.a_vmbox()
    for _ in range(3):
        media_id = await account.leave(vmbox_id, b"\0audio" * 1000)
        await account.http.get(account.path("vmboxes", vmbox_id, "messages", media_id, "raw"))
        await account.listed(vmbox_id)
    keeper = Child("keeper", command(service, "keeper-once", "keeper", "--once", "all"))
    await keeper.start()
    assert await keeper.wait() == 0


def command(service: RunningService, label: str, *arguments: str, **more: str) -> Command:
    return Command(
        argv=[sys.executable, "-m", "service", *arguments],
        environment={**service.environment, **more},
        log=service.folder / f"scraped-{label}.log",
    )


class PrometheusClient:
    """Client of the Prometheus query API."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def finds(self, query: str) -> bool:
        async with httpx.AsyncClient(verify=NO_TLS, timeout=10) as client:
            try:
                answer = await client.get(f"{self._url}/api/v1/query", params={"query": query})
            except httpx.TransportError:
                return False
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # still starting
            return False
        result: dict[str, Any] = answer.json()
        assert result["status"] == "success", result
        return bool(result["data"]["result"])

    async def has_scraped(self, ports: dict[str, AdminPort]) -> None:
        await wait_until(lambda: self.finds(f'count(up{{job="aftertone"}} == 1) == {len(ports)}'))


@asynccontextmanager
async def prometheus(ports: dict[str, AdminPort], folder: Path) -> AsyncIterator[PrometheusClient]:
    """Runs Prometheus with an interval of 1 s and the labels of the ServiceMonitor."""
    targets = [
        {"targets": [f"127.0.0.1:{port.port}"], "labels": {"process": kind, "namespace": "vm"}}
        for kind, port in ports.items()
    ]
    job = {"job_name": "aftertone", "scrape_interval": "1s", "static_configs": targets}
    settings = folder / "prometheus.yaml"
    settings.write_bytes(msgspec.yaml.encode({"scrape_configs": [job]}))
    listen = free_port()
    server = Child(
        "prometheus",
        Command(
            argv=[
                str(PROMETHEUS),
                f"--config.file={settings}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{listen}",
            ],
            environment={"PATH": "/usr/bin:/bin"},
            log=folder / "prometheus.output",
        ),
    )
    await server.start()
    try:
        yield PrometheusClient(f"http://127.0.0.1:{listen}")
    finally:
        await server.stop()
